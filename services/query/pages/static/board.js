// Keeps the page live. Numbers come with each `score` event; what an event does not carry (change, spark line,
// follow-ups) is fetched as a piece of the same HTML the server rendered at first.
const board = document.getElementById("board");
const windowName = board.dataset.window;
const REFRESH_MS = 2000; // at most one fetch in this time
const MINUTE_MS = 60000;
const SILENCE_MS = 40000; // the server speaks at least every 15 s

// A key in the address is for signing in; there is a session already.
if (location.hash.startsWith("#key=")) history.replaceState(null, "", location.pathname + location.search);

const live = document.getElementById("live");
const liveText = document.getElementById("live-text");
const STATES = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  delayed: "Delayed; numbers may be old",
  signedOut: "Signed out: reload to sign in",
};
function say(state) {
  if (live.dataset.state === state) return;
  live.dataset.state = state;
  liveText.textContent = STATES[state];
}

const signed = (points) => (points > 0 ? `+${points}` : points < 0 ? `−${-points}` : "0");
const rounded = (points) => Math.sign(points) * Math.floor(Math.abs(points) + 0.5);
const answers = (n) => (n === 1 ? "1 answer" : `${n.toLocaleString("en")} answers`);
function headline(figures) {
  if (figures.state === "empty") return "no answers";
  return figures.state === "too_few" ? `too few answers: ${figures.n}` : signed(figures.display);
}

function cards() {
  return new Map([...document.querySelectorAll("[data-card]")].map((card) => [card.dataset.card, card]));
}
const field = (card, name) => card.querySelector(`[data-field="${name}"]`);

function flash(card) {
  card.classList.remove("moved");
  void card.offsetWidth; // restart the animation
  card.classList.add("moved");
}

function show(card, figures) {
  const before = field(card, "score").textContent + field(card, "answers").textContent;
  card.dataset.state = figures.state;
  field(card, "score").textContent = headline(figures);
  field(card, "answers").textContent = answers(figures.n);
  field(card, "margin").hidden = !figures.margin;
  field(card, "shares").hidden = !figures.shares;
  if (figures.margin) {
    const { low, high } = figures.margin;
    field(card, "range").setAttribute("x", low);
    field(card, "range").setAttribute("width", high - low);
    field(card, "point").setAttribute("x", figures.nps - 1);
    field(card, "margin-text").textContent = `likely between ${signed(rounded(low))} and ${signed(rounded(high))}`;
  }
  if (figures.shares) {
    let x = 0;
    for (const [letter, band] of [["d", "detractors"], ["n", "passives"], ["p", "promoters"]]) {
      const share = figures.shares[band];
      field(card, `bar-${letter}`).setAttribute("x", x);
      field(card, `bar-${letter}`).setAttribute("width", share);
      field(card, `share-${letter}`).textContent = `${share}\u00a0%`;
      x += share;
    }
  }
  if (before !== field(card, "score").textContent + field(card, "answers").textContent) flash(card);
}

// What waits to be fetched: teams with the newest record their event named, everything (with the records of teams
// that are new to the page), the follow-ups.
const nothing = () => ({ teams: new Map(), all: false, news: new Map(), followups: false, records: new Map() });
const stale = nothing();
// Of several records ("partition:offset") the newest of each partition is worth waiting for.
function waitFor(records, record) {
  const [partition, offset] = record.split(":").map(Number);
  if (!(records.get(partition) > offset)) records.set(partition, offset);
}
const places = (records) => [...records].map(([partition, offset]) => `${partition}:${offset}`);

let timer = null;
let fetchedAt = -Infinity;

function refresh() {
  if (timer !== null || document.hidden) return;
  timer = setTimeout(fetchStale, Math.max(250, fetchedAt + REFRESH_MS - performance.now()));
}

async function piece(address) {
  const answer = await fetch(address, { credentials: "same-origin", cache: "no-store" });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const holder = document.createElement("template");
  holder.innerHTML = await answer.text();
  return holder.content;
}

async function fetchStale() {
  const { teams, all, news, followups, records } = stale;
  Object.assign(stale, nothing());
  try {
    if (all || teams.size) {
      const query = new URLSearchParams({ window: windowName });
      if (all) {
        query.set("after", board.dataset.after);
        for (const record of places(news)) query.append("at_least", record); // an event is faster than the tables
      } else for (const [team, record] of teams) {
        query.append("team", team);
        query.append("at_least", record);
      }
      const fresh = await piece(`/fragments/cards?${query}`);
      if (all) document.getElementById("scores").replaceWith(fresh.getElementById("scores"));
      else replaceCards(fresh);
    }
    if (all || followups) {
      const query = new URLSearchParams({ window: windowName, after: board.dataset.after, cases: board.dataset.cases });
      for (const record of places(records)) query.append("at_least", record);
      showCases(await piece(`/fragments/followups?${query}`));
    }
  } catch {
    // The store is behind or away: the numbers of the events stand; the next minute asks again.
  }
  fetchedAt = performance.now();
  timer = null;
  if (stale.all || stale.followups || stale.teams.size) refresh();
}

function replaceCards(fresh) {
  const old = cards();
  for (const card of fresh.querySelectorAll("[data-card]")) {
    const there = old.get(card.dataset.card);
    if (!there) continue;
    const moved = there.classList.contains("moved") ||
      field(there, "score").textContent !== field(card, "score").textContent;
    there.replaceWith(card);
    if (moved && card.dataset.card === "") flash(card);
  }
  document.getElementById("as-of").replaceWith(fresh.getElementById("as-of"));
}

let source = null;
let heardAt = performance.now();
let lastId = board.dataset.since;
let retryMs = 1000;
let signedOut = false;

function listen() {
  source = new EventSource(`/v1/live?last_event_id=${encodeURIComponent(lastId)}`);
  const on = (name, handle) =>
    source.addEventListener(name, (event) => {
      heardAt = performance.now();
      if (event.lastEventId) lastId = event.lastEventId;
      handle(JSON.parse(event.data));
    });
  on("status", (status) => {
    retryMs = 1000;
    say(status.live ? "live" : "delayed");
  });
  on("score", (scores) => {
    const card = cards().get(scores.team);
    const found = scores.windows.find((one) => one.window === windowName);
    if (card && found) show(card, found.all);
    if (card) stale.teams.set(scores.team, scores.record);
    else if (!board.dataset.after) {
      stale.all = true; // a team this page has not seen
      waitFor(stale.news, scores.record);
    }
    refresh();
  });
  on("followup", (followup) => {
    stale.followups = true;
    waitFor(stale.records, followup.record);
    if (cards().has(followup.team)) stale.teams.set(followup.team, followup.record);
    refresh();
  });
  on("reset", () => {
    stale.all = true;
    refresh();
  });
  source.onerror = () => {
    say("reconnecting");
    // The browser comes back by itself after a broken connection, but not after an answer such as 401 or 503.
    if (source.readyState === EventSource.CLOSED) again();
  };
}

async function again() {
  source.close();
  heardAt = performance.now() + retryMs;
  await new Promise((resolve) => setTimeout(resolve, retryMs));
  retryMs = Math.min(retryMs * 2, 15000);
  const session = await fetch("/session", { cache: "no-store" }).catch(() => null);
  if (session?.status === 401) {
    signedOut = true;
    say("signedOut");
  } else listen();
}

say("connecting");
listen();
setInterval(() => {
  if (!signedOut && performance.now() - heardAt > SILENCE_MS) {
    say("reconnecting");
    again();
  }
}, 5000);
setInterval(() => {
  stale.all = true; // times pass, and panes leave windows
  refresh();
}, MINUTE_MS);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    stale.all = true;
    refresh();
  }
});
