// The Pulse survey widget: one question, 0 to 10, an optional comment and an optional way to be reached.
//
//   <script src="https://pulse.example/widget.js" data-team="support-emea" data-key="…" defer></script>
//
// data-team      the team the answer is about (required)
// data-key       the public widget key (required)
// data-survey    name of the survey
// data-locale    language of the texts and of the answer, such as da or de-AT; else the page's
// data-question  the question, in place of the usual one
// data-theme     light, dark or auto (default)
// data-target    selector of the element to stand in; else the widget stands where the script does
//
// It lives in a shadow root, so neither the page's styles nor the widget's leak. It needs `connect-src` for the
// server it came from and nothing inline, so it works under a strict content security policy.
(() => {
  "use strict";

  const TEXTS = {
    en: {
      question: "How likely are you to recommend us to a friend or colleague?",
      low: "Not at all likely",
      high: "Extremely likely",
      comment: "What is the main reason for your score?",
      optional: "optional",
      contact: "May we get back to you about it?",
      none: "No, thank you",
      email: "By e-mail",
      phone: "By phone",
      emailAddress: "Your e-mail address",
      phoneNumber: "Your phone number",
      emailWrong: "Please write an e-mail address, such as name@example.com.",
      phoneWrong: "Please write a phone number.",
      send: "Send",
      again: "Try again",
      choose: "Please choose a number from 0 to 10.",
      sending: "Sending…",
      waiting: "No luck yet, trying again…",
      failed: "Your answer has not been saved: the server could not be reached. What you wrote is still here.",
      refused: "Your answer has not been saved: the server did not accept it.",
      thanks: ["Thank you for telling us.", "Thank you!", "Thank you, that is great to hear!"],
      next: [
        "We are sorry that we let you down. The team reads every answer.",
        "The team reads every answer, to find out what would make it a 10.",
        "The team will be happy to read it.",
      ],
      reach: "Somebody will get back to you.",
    },
    da: {
      question: "Hvor sandsynligt er det, at du vil anbefale os til en ven eller kollega?",
      low: "Slet ikke sandsynligt",
      high: "Meget sandsynligt",
      comment: "Hvad er den vigtigste grund til din score?",
      optional: "valgfrit",
      contact: "Må vi vende tilbage til dig om det?",
      none: "Nej tak",
      email: "På e-mail",
      phone: "På telefon",
      emailAddress: "Din e-mailadresse",
      phoneNumber: "Dit telefonnummer",
      emailWrong: "Skriv en e-mailadresse, for eksempel navn@example.com.",
      phoneWrong: "Skriv et telefonnummer.",
      send: "Send",
      again: "Prøv igen",
      choose: "Vælg et tal fra 0 til 10.",
      sending: "Sender…",
      waiting: "Ikke endnu, vi prøver igen…",
      failed: "Dit svar er ikke gemt: serveren kunne ikke nås. Det, du skrev, står her stadig.",
      refused: "Dit svar er ikke gemt: serveren tog ikke imod det.",
      thanks: ["Tak, fordi du sagde det.", "Tak!", "Tak, det er vi glade for at høre!"],
      next: [
        "Vi er kede af, at vi skuffede dig. Holdet læser alle svar.",
        "Holdet læser alle svar for at finde ud af, hvad der skal til for et 10-tal.",
        "Holdet bliver glade for at læse det.",
      ],
      reach: "Du hører fra os.",
    },
    de: {
      question: "Wie wahrscheinlich ist es, dass Sie uns weiterempfehlen?",
      low: "Sehr unwahrscheinlich",
      high: "Sehr wahrscheinlich",
      comment: "Was ist der wichtigste Grund für Ihre Bewertung?",
      optional: "freiwillig",
      contact: "Dürfen wir uns deswegen bei Ihnen melden?",
      none: "Nein, danke",
      email: "Per E-Mail",
      phone: "Per Telefon",
      emailAddress: "Ihre E-Mail-Adresse",
      phoneNumber: "Ihre Telefonnummer",
      emailWrong: "Bitte geben Sie eine E-Mail-Adresse ein, etwa name@example.com.",
      phoneWrong: "Bitte geben Sie eine Telefonnummer ein.",
      send: "Senden",
      again: "Noch einmal versuchen",
      choose: "Bitte wählen Sie eine Zahl von 0 bis 10.",
      sending: "Wird gesendet…",
      waiting: "Noch nicht gelungen, neuer Versuch…",
      failed: "Ihre Antwort ist nicht gespeichert: Der Server war nicht erreichbar. Ihr Text steht noch hier.",
      refused: "Ihre Antwort ist nicht gespeichert: Der Server hat sie nicht angenommen.",
      thanks: ["Danke, dass Sie es uns sagen.", "Vielen Dank!", "Vielen Dank, das freut uns sehr!"],
      next: [
        "Es tut uns leid, dass wir Sie enttäuscht haben. Das Team liest jede Antwort.",
        "Das Team liest jede Antwort, um herauszufinden, was zur 10 noch fehlt.",
        "Das Team wird sich darüber freuen.",
      ],
      reach: "Wir melden uns bei Ihnen.",
    },
  };

  const STYLE = `
    :host { all: initial; display: block; container-type: inline-size; color-scheme: light; }
    .card {
      --text: #1b2330; --muted: #505c6e; --surface: #ffffff; --line: #8792a3; --soft: #e4e8ee;
      --accent: #2447c9; --on-accent: #ffffff; --wrong: #b3261e; --hover: #eef2ff;
    }
    .card.dark {
      --text: #eef1f6; --muted: #b4bdcb; --surface: #1a2130; --line: #7f8ba0; --soft: #323c4f;
      --accent: #a9bdff; --on-accent: #10182c; --wrong: #ffb4ab; --hover: #263150; color-scheme: dark;
    }
    *, *::before, *::after { box-sizing: border-box; }
    [hidden] { display: none !important; }
    .card {
      font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
      color: var(--text); background: var(--surface); border: 1px solid var(--soft); border-radius: 1rem;
      padding: 1.75rem; overflow-wrap: anywhere; text-align: start;
    }
    fieldset { border: 0; margin: 0; padding: 0; min-inline-size: 0; }
    legend, .label { padding: 0; font-weight: 600; display: block; }
    .question { font-size: 1.25rem; line-height: 1.35; margin-block-end: 1rem; text-wrap: balance; }
    .scale { display: grid; grid-template-columns: repeat(11, 1fr); gap: 0.4rem; }
    .option { position: relative; display: block; }
    .option input {
      position: absolute; inset: 0; inline-size: 100%; block-size: 100%; margin: 0; opacity: 0; cursor: pointer;
    }
    .option .box {
      display: grid; place-items: center; min-block-size: 2.75rem; border: 1px solid var(--line);
      border-radius: 0.6rem; font-variant-numeric: tabular-nums; font-weight: 500;
    }
    .option input:hover + .box { background: var(--hover); border-color: var(--accent); }
    .option input:checked + .box {
      background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 700;
    }
    .option input:focus-visible + .box, button:focus-visible, textarea:focus-visible, .field input:focus-visible,
    .choice input:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
    .anchors {
      display: flex; justify-content: space-between; gap: 1rem; margin-block-start: 0.5rem;
      color: var(--muted); font-size: 0.875rem;
    }
    .anchors span:last-child { text-align: end; }
    .more { margin-block-start: 1.5rem; display: grid; gap: 1.25rem; }
    .hint { color: var(--muted); font-weight: 400; font-size: 0.875rem; }
    textarea, .field input {
      font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); border-radius: 0.6rem;
      inline-size: 100%; padding: 0.6rem 0.75rem; margin-block-start: 0.4rem;
    }
    textarea { resize: vertical; min-block-size: 5.5rem; display: block; }
    .choices { display: flex; flex-wrap: wrap; gap: 0.25rem 1.5rem; margin-block-start: 0.25rem; }
    .choice { display: inline-flex; align-items: center; gap: 0.5rem; min-block-size: 2.25rem; cursor: pointer; }
    .choice input { accent-color: var(--accent); inline-size: 1.15rem; block-size: 1.15rem; margin: 0; }
    .field { margin-block-start: 0.75rem; max-inline-size: 24rem; }
    .field input[aria-invalid="true"] { border-color: var(--wrong); border-width: 2px; }
    .wrong { color: var(--wrong); font-weight: 600; margin: 0.35rem 0 0; }
    button {
      font: inherit; font-weight: 600; color: var(--on-accent); background: var(--accent); border: 1px solid transparent;
      border-radius: 0.6rem; padding: 0.65rem 1.6rem; min-block-size: 2.75rem; cursor: pointer; justify-self: start;
    }
    button[aria-disabled="true"] { cursor: progress; opacity: 0.75; }
    .state { margin: 1rem 0 0; }
    .state:empty { display: none; }
    .done { outline: none; }
    .done strong { display: block; font-size: 1.25rem; line-height: 1.35; margin-block-end: 0.25rem; }
    @media (prefers-reduced-motion: no-preference) {
      .box, button { transition: background-color 120ms ease, border-color 120ms ease, color 120ms ease; }
    }
    @media (forced-colors: active) {
      .option input:checked + .box { forced-color-adjust: none; background: Highlight; color: HighlightText; }
    }
    @container (max-width: 34rem) {
      .card { padding: 1.25rem; }
      .scale { grid-template-columns: repeat(6, 1fr); }
    }
  `;

  const WAITS_MS = [1000, 2000, 4000, 8000];
  const LONGEST_WAIT_MS = 15000;
  const ATTEMPT_MS = 15000;

  const script = document.currentScript;
  const settings = script.dataset;
  const locale = settings.locale || document.documentElement.lang || navigator.language || "en";
  const texts = TEXTS[locale.toLowerCase().split("-")[0]] || TEXTS.en;

  /** An element with properties (or attributes, where the name has a hyphen) and children. */
  function element(name, properties = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key.includes("-") || key === "role" || key === "for") made.setAttribute(key, value);
      else made[key] = value;
    }
    made.append(...children);
    return made;
  }

  /** A random UUID. `crypto.randomUUID` is missing on pages without HTTPS. */
  function uuid() {
    if (crypto.randomUUID) return crypto.randomUUID();
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }

  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  /** Send once: "held", "again" (with the wait the server asks for) or "refused". */
  async function attempt(body) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), ATTEMPT_MS);
    try {
      const response = await fetch(new URL("/v1/responses", script.src), {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${settings.key}` },
        body: JSON.stringify(body),
        keepalive: true,
        signal: stop.signal,
        credentials: "omit",
      });
      if (response.ok) return { outcome: "held" };
      const again = response.status >= 500 || response.status === 429 || response.status === 408;
      return { outcome: again ? "again" : "refused", waitMs: 1000 * Number(response.headers.get("Retry-After") || 0) };
    } catch {
      return { outcome: "again", waitMs: 0 };
    } finally {
      clearTimeout(timer);
    }
  }

  /** Send until it is held or refused, or patience ends. The id stays, so that it is counted once. */
  async function deliver(body, onWait) {
    for (const waitMs of [...WAITS_MS, null]) {
      const result = await attempt(body);
      if (result.outcome !== "again" || waitMs === null) return result.outcome;
      onWait();
      await pause(Math.min(Math.max(waitMs, result.waitMs), LONGEST_WAIT_MS));
    }
  }

  function scaleOf() {
    const options = Array.from({ length: 11 }, (_, score) => {
      const anchor = { 0: texts.low, 10: texts.high }[score];
      const input = element("input", { type: "radio", name: "score", value: String(score) });
      if (anchor) input.setAttribute("aria-label", `${score}, ${anchor}`);
      return element("label", { className: "option" }, input, element("span", { className: "box" }, String(score)));
    });
    return element(
      "fieldset",
      {},
      element("legend", { className: "question" }, settings.question || texts.question),
      element("div", { className: "scale" }, ...options),
      element(
        "div",
        { className: "anchors", "aria-hidden": "true" },
        element("span", {}, `0 – ${texts.low}`),
        element("span", {}, `10 – ${texts.high}`),
      ),
    );
  }

  function commentOf() {
    return element(
      "div",
      {},
      element("label", { className: "label", for: "comment" }, `${texts.comment} `, optional()),
      element("textarea", { id: "comment", maxLength: 4000, rows: 3, dir: "auto" }),
    );
  }

  const optional = () => element("span", { className: "hint" }, `(${texts.optional})`);

  function contactOf() {
    const choices = ["none", "email", "phone"].map((medium) =>
      element(
        "label",
        { className: "choice" },
        element("input", { type: "radio", name: "medium", value: medium, checked: medium === "none" }),
        texts[medium],
      ),
    );
    const fields = [
      ["email", texts.emailAddress, 254, "email"],
      ["phone", texts.phoneNumber, 40, "tel"],
    ].map(([medium, label, maxLength, kind]) =>
      element(
        "div",
        { className: "field", hidden: true, id: `field-${medium}` },
        element("label", { className: "label", for: medium }, label),
        element("input", { id: medium, type: kind, maxLength, autocomplete: kind, "aria-describedby": `wrong-${medium}` }),
        element("p", { className: "wrong", id: `wrong-${medium}`, hidden: true }),
      ),
    );
    return element(
      "fieldset",
      {},
      element("legend", {}, `${texts.contact} `, optional()),
      element("div", { className: "choices" }, ...choices),
      ...fields,
    );
  }

  function start() {
    const responseId = uuid();
    const host = element("pulse-widget");
    const root = host.attachShadow({ mode: "open" });
    const button = element("button", { type: "submit" }, texts.send);
    const more = element("div", { className: "more", hidden: true }, commentOf(), contactOf(), button);
    const form = element("form", { noValidate: true }, scaleOf(), more);
    // There from the start, so that what comes to stand in it is read out.
    const state = element("p", { className: "state", role: "status" });
    const done = element("div", { className: "done", role: "status", tabIndex: -1 });
    const card = element("div", { className: "card", lang: TEXTS[locale.split("-")[0]] ? locale : "en" }, form, state, done);
    dress(root, card);
    root.append(card);

    const find = (selector) => root.querySelector(selector);
    const chosen = (name) => find(`input[name="${name}"]:checked`)?.value;

    form.addEventListener("change", (event) => {
      if (event.target.name === "score") {
        more.hidden = false;
        state.textContent = "";
      }
      for (const medium of ["email", "phone"]) find(`#field-${medium}`).hidden = chosen("medium") !== medium;
    });

    form.addEventListener("input", ({ target }) => {
      if (target.getAttribute("aria-invalid") === "true") mark(target.id, "");
    });

    /** Whether the field of the chosen medium is filled in; if not, says so there and goes there. */
    function reachable(medium) {
      for (const other of ["email", "phone"]) mark(other, "");
      if (medium === "email" && !/^[^@\s]+@[^@\s]+$/.test(find("#email").value.trim())) return mark("email", texts.emailWrong);
      if (medium === "phone" && !/\d/.test(find("#phone").value)) return mark("phone", texts.phoneWrong);
      return true;
    }

    function mark(medium, message) {
      const input = find(`#${medium}`);
      const wrong = find(`#wrong-${medium}`);
      wrong.textContent = message;
      wrong.hidden = !message;
      input.setAttribute("aria-invalid", String(Boolean(message)));
      if (message) input.focus();
      return !message;
    }

    function answer() {
      const medium = chosen("medium");
      const body = { team: settings.team, score: Number(chosen("score")), response_id: responseId, channel: "widget" };
      const comment = find("#comment").value.trim();
      if (comment) body.comment = comment;
      if (settings.survey) body.survey = settings.survey;
      if (locale.length <= 35) body.locale = locale;
      if (medium !== "none") body.respondent = { medium, [medium]: find(`#${medium}`).value.trim() };
      return body;
    }

    let sending = false;
    function busy(is) {
      sending = is;
      button.setAttribute("aria-disabled", String(is));
    }

    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (sending) return;
      if (chosen("score") === undefined) {
        state.textContent = texts.choose;
        find('input[name="score"]').focus();
        return;
      }
      if (!reachable(chosen("medium"))) return;
      const body = answer();
      busy(true);
      state.textContent = texts.sending;
      const outcome = await deliver(body, () => (state.textContent = texts.waiting));
      busy(false);
      if (outcome === "held") {
        thank(body);
        return;
      }
      state.textContent = outcome === "refused" ? texts.refused : texts.failed;
      button.textContent = texts.again;
    });

    function thank(body) {
      const band = body.score <= 6 ? 0 : body.score <= 8 ? 1 : 2;
      const reach = body.respondent ? ` ${texts.reach}` : "";
      state.textContent = "";
      form.remove();
      done.append(element("strong", {}, texts.thanks[band]), texts.next[band] + reach);
      done.focus();
    }

    const target = settings.target && document.querySelector(settings.target);
    if (target) target.append(host);
    else if (document.body.contains(script)) script.after(host);
    else document.body.append(host);
  }

  /** Styles and theme. A constructed style sheet is allowed under any content security policy. */
  function dress(root, card) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const follow = () =>
      card.classList.toggle("dark", settings.theme === "dark" || (settings.theme !== "light" && dark.matches));
    follow();
    dark.addEventListener("change", follow);
  }

  start();
})();
