// Working on follow-ups. Each button asks the API to do one thing; the fold decides, and its answer is shown at once.
// What the answer does not carry comes with the next piece of the page, as for everybody else who watches.
const cases = document.getElementById("followups");
const who = document.getElementById("actor");
const announced = document.getElementById("announced");

who.value = localStorage.getItem("pulse-actor") ?? "";
who.addEventListener("change", () => localStorage.setItem("pulse-actor", who.value.trim()));

const REMORSE_MS = 10000; // a case that leaves the list stays that long, so that it can be reopened, or is seen to go
const DONE = {
  acknowledge: "You’ve got it",
  assign: "Assigned",
  note: "Written down",
  contact: "Noted",
  callback: "Call back agreed",
  snooze: "Snoozed",
  resolve: "Resolved",
  reopen: "Reopened",
};

// What is sent of a form: times as the API takes them, and nothing that was left blank.
function fieldsOf(form) {
  const fields = Object.fromEntries(new FormData(form));
  for (const name of ["at", "until"]) if (fields[name]) fields[name] = new Date(fields[name]).toISOString();
  for (const [name, value] of Object.entries(fields)) if (!value.trim()) delete fields[name];
  if (form.dataset.act === "assign") fields.owner ??= null;
  return fields;
}

function fieldsOfButton(button, card) {
  if (button.dataset.minutes) return { until: new Date(Date.now() + button.dataset.minutes * 60000).toISOString() };
  if (!button.dataset.outcome) return {};
  return { outcome: button.dataset.outcome, ...(card.dataset.medium ? { medium: card.dataset.medium.slice(0, 40) } : {}) };
}

function tell(card, text, bad) {
  const told = card.querySelector('[data-field="told"]');
  told.textContent = text;
  told.hidden = !text;
  told.classList.toggle("wrong", bad);
  if (text) announced.textContent = text; // a screen reader hears it also when the card goes
}

async function act(card, kind, fields) {
  const actor = who.value.trim();
  if (!actor) {
    tell(card, "Say who you are first, above the follow-ups.", true);
    who.focus();
    return;
  }
  if (card.hasAttribute("aria-busy")) return;
  card.setAttribute("aria-busy", "true");
  let answer, told;
  try {
    const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` };
    if (card.dataset.n) headers["If-Match"] = `"${card.dataset.n}"`;
    const body = JSON.stringify({ actor, ...fields });
    answer = await fetch(`/v1/followups/${card.dataset.case}/${kind}`, { method: "POST", headers, body });
    told = await answer.json();
  } catch {
    tell(card, "The server cannot be reached. Nothing was done, as far as this page knows.", true);
    return;
  } finally {
    card.removeAttribute("aria-busy");
  }
  if (answer.status === 200) done(card, kind, told);
  else if (answer.status === 202) tell(card, "Sent; it takes a moment longer than usual.", false);
  else refused(card, answer.status, told);
}

function done(card, kind, told) {
  card.dataset.n = told.n;
  card.querySelector('[data-field="state"]').textContent = told.state;
  card.querySelector('[data-field="owner"]').textContent = told.owner ?? "Nobody has it yet";
  for (const details of card.querySelectorAll("details")) details.open = false;
  for (const form of card.querySelectorAll("form")) form.reset();
  tell(card, DONE[kind], false);
  const closed = !told.allowed.includes("contact");
  const gone = closed === (board.dataset.cases === "open"); // from this list
  card.classList.toggle("done", gone);
  if (gone) {
    card.dataset.until = performance.now() + REMORSE_MS;
    setTimeout(lookAgain, REMORSE_MS + 100);
  } else delete card.dataset.until;
  card.querySelector(".acts").replaceChildren(...(gone && closed && told.allowed.includes("reopen") ? [undo()] : stillAllowed(card, told.allowed)));
  const next = card.querySelector(".acts :is(button, summary)");
  if (next && !card.contains(document.activeElement)) next.focus();
}

// The buttons that are allowed still; what is new comes with the next piece of the page.
function stillAllowed(card, allowed) {
  return [...card.querySelector(".acts").children].filter((part) => {
    const act = part.dataset.act ?? part.querySelector("form").dataset.act;
    return allowed.includes(act);
  });
}

function undo() {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.act = "reopen";
  button.textContent = "Reopen";
  return button;
}

function refused(card, status, told) {
  if (status === 401) tell(card, "You are signed out: reload to sign in.", true);
  else if (status === 412) tell(card, "Somebody has changed it meanwhile; look again.", true);
  else if (told.causes) {
    const list = card.querySelector("datalist");
    list.replaceChildren(...told.causes.map((cause) => Object.assign(document.createElement("option"), { value: cause })));
    tell(card, `This team resolves with: ${told.causes.join(", ")}.`, true);
  } else tell(card, (told.errors ?? []).map((error) => `${error.path}: ${error.message}`).join("; ") || told.detail, true);
  if (status === 404 || status === 409 || status === 412) lookAgain();
}

// The card as others see it by now; `board.js` fetches it.
function lookAgain() {
  stale.followups = true;
  refresh();
}

cases.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-act]");
  if (!button) return;
  const card = button.closest("[data-case]");
  act(card, button.dataset.act, fieldsOfButton(button, card));
});
cases.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target.closest("form[data-act]");
  act(form.closest("[data-case]"), form.dataset.act, fieldsOf(form));
});
cases.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const details = event.target.closest("details[open]");
  if (!details) return;
  details.open = false;
  details.querySelector("summary").focus();
});

// A card that somebody is busy with stays as it is until they have done; one that was just worked on keeps what it told.
const busy = (card) =>
  card.querySelector("details[open]") !== null || card.hasAttribute("aria-busy") || card.dataset.until > performance.now();

// Put the freshly rendered cases in the place of those that are shown.
function showCases(fresh) {
  const there = new Map([...cases.querySelectorAll("[data-case]")].map((card) => [card.dataset.case, card]));
  const focused = document.activeElement?.closest?.("[data-case]")?.dataset.case;
  const list = cases.querySelector(".board");
  const freshList = fresh.querySelector(".board");
  cases.querySelector("h2").replaceWith(fresh.querySelector("h2"));
  if (!list || !freshList) {
    if (list && [...there.values()].some(busy)) return;
    cases.lastElementChild.replaceWith(fresh.lastElementChild); // the list, or that there is none
    who.closest(".actor").hidden = !freshList;
    return;
  }
  for (const card of there.values()) if (!busy(card)) card.remove();
  let cursor = list.firstElementChild;
  for (const card of [...freshList.children]) {
    const before = there.get(card.dataset.case);
    if (before && busy(before)) {
      cursor = before.nextElementSibling;
      continue;
    }
    const told = before?.querySelector('[data-field="told"]');
    if (told && !told.hidden && Number(before.dataset.n) <= Number(card.dataset.n)) {
      card.querySelector('[data-field="told"]').replaceWith(told);
    }
    list.insertBefore(card, cursor);
    if (card.dataset.case === focused) card.querySelector(".acts :is(button, summary)")?.focus();
  }
}
