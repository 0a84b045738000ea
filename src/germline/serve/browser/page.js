// The page. Whatever comes from the server may quote a model or a stranger's file: it becomes text, never HTML.

const POLL_MS = 1000;
const LONGEST_ANSWER = 256; // tokens
const KEY = "germline token";
const TOKEN = /^[!-~]{32,}$/; // what a header can carry: with anything else fetch throws before it asks
const DOWN = "The server does not answer. Is `germline serve` still running?";
const UNREADABLE = "The token in the address cannot be read. Open the whole address, as `germline serve` printed it, or enter the token below.";
const $ = (id) => document.getElementById(id);

/** An element: properties, then children; a string becomes a text node. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// --- the server --------------------------------------------------------------------------------------

/** The token comes in the fragment, which no browser sends anywhere, and leaves the address bar at once. Says what is wrong. */
function takeToken() {
  const fragment = location.hash.slice(1);
  if (!bringsToken()) return "";
  history.replaceState(null, "", location.pathname);
  let token = "";
  try { token = decodeURIComponent(fragment); } catch { /* `%` and no code after it */ }
  if (!TOKEN.test(token)) return UNREADABLE;
  sessionStorage.setItem(KEY, token);
  return "";
}

/** A `%` is in no name of a generation: whoever came with one came with a token, whole or not. */
const bringsToken = () => location.hash.length > 32 || location.hash.includes("%");

/** Browsers have a TypeError, in words of their own, for a server that they do not reach. */
const reached = (work) => work.catch((error) => { throw error instanceof TypeError ? new Error(DOWN) : error; });

async function call(path, body, signal) {
  const token = sessionStorage.getItem(KEY) ?? "";
  const headers = { Authorization: `Bearer ${token}` };
  const asked = { headers, signal };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    Object.assign(asked, { method: "POST", body: JSON.stringify(body) });
  }
  const answer = await reached(fetch(path, asked));
  if (answer.ok) return answer;
  if (answer.status === 401 && sessionStorage.getItem(KEY) === token) sessionStorage.removeItem(KEY);
  const told = await answer.json().catch(() => null);
  throw Object.assign(new Error(told?.error?.message ?? `the server answered ${answer.status}`), { status: answer.status });
}

const get = async (path) => reached((await call(path)).json());

/** What goes wrong is said where everybody can read and hear it, and once: written again, it is read aloud again. */
function tell(error) {
  if (error?.status === 401) askForToken();
  const words = error ? `${error.message ?? error}` : "";
  if ($("notice").textContent !== words) $("notice").textContent = words;
}

const guarded = (work) => async (...given) => {
  try { tell(null); await work(...given); } catch (error) { tell(error); }
};

function askForToken() {
  for (const id of ["lineage", "card", "chat", "training"]) $(id).hidden = true;
  $("door").hidden = false;
  $("token").focus();
}

// --- the lineage -------------------------------------------------------------------------------------

let tree = null;
let open; // the name of the generation whose card is shown
const picture = (svg) => `data:image/svg+xml,${encodeURIComponent(svg)}`;
const chosen = () => (/^#g\d+$/.test(location.hash) ? location.hash.slice(1) : tree.head);

async function showTree() {
  tree = await get("/v1/lineage");
  document.title = $("name").textContent = tree.name;
  $("maturity").textContent = tree.maturity;
  $("graph").src = picture(tree.graph);
  $("graph").style.height = `${tree.generations.length * 4}rem`; // page.css gives a row 4rem: both grow with the letters
  $("generations").replaceChildren(...tree.generations.map(node));
  $("remarks").replaceChildren(...tree.remarks.map((remark) => make("li", {}, remark)));
  fillVoices();
  $("lineage").hidden = $("chat").hidden = false;
}

function badges(one) {
  const told = [make("span", { className: `badge ${one.outcome}` }, one.outcome)];
  if (one.head) told.unshift(make("span", { className: "badge head" }, "HEAD"));
  if (one.waiting) told.push(make("span", { className: "badge proposed" }, "waits for approval"));
  return told;
}

function node(one) {
  const marks = Object.entries(one.marks).map(([name, mark]) => make("span", {}, make("small", {}, name), mark));
  const told = [make("b", {}, one.id), ...badges(one), make("span", { className: "marks" }, ...marks),
    make("time", {}, one.time.slice(0, 10))];
  return make("li", {}, one.held ? make("a", { href: `#${one.id}` }, ...told) : make("div", {}, ...told));
}

async function showCard(name = chosen()) {
  const again = name === open;
  open = name;
  const one = await get(`/v1/generations/${name}`);
  if (name !== open) return; // another was chosen meanwhile
  for (const link of $("generations").querySelectorAll("a")) {
    if (link.hash === `#${one.id}`) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  const focused = $("card").contains(document.activeElement);
  const unfolded = [...$("card").querySelectorAll("details[open] > summary")].map((summary) => summary.textContent);
  $("card").replaceChildren(...card(one));
  $("card").hidden = false;
  if (!again) return;
  // Drawn again, maybe under the eyes of a reader: what was unfolded stays so, and the focus near.
  for (const part of $("card").querySelectorAll("details")) part.open = unfolded.includes(part.firstChild.textContent);
  if (focused) $("card").focus({ preventScroll: true });
}

function card(one) {
  const parts = [make("h2", {}, one.id, ...badges(one)),
    make("p", { className: "quiet" }, `${one.parent ? `child of ${one.parent}, ` : ""}${one.time}, ${one.digest}`)];
  if (one.verdict) parts.push(make("p", { className: "verdict" }, one.verdict));
  if (one.may_be_head && !one.head) {
    const back = make("button", { type: "button", id: "rollback" }, `Make ${one.id} HEAD …`);
    back.addEventListener("click", guarded(() => moveHead(one.id)));
    parts.push(back);
  }
  if (one.weights) {
    const drawn = make("img", { src: picture(one.weights.picture), alt: `${one.weights.sentence}. The table below has the numbers.` });
    parts.push(make("h3", {}, "How far its weights moved"), make("p", {}, one.weights.sentence),
      make("div", { className: "picture" }, drawn), folded("layer by layer", table(one.weights.layers)));
  }
  if (one.exams) parts.push(make("h3", {}, "Exams"), table(one.exams));
  if (one.checks) parts.push(folded("every check of the gate", table(one.checks)));
  parts.push(...quotes("What it learned", one.learned), ...quotes("Facts it was taught", one.facts));
  parts.push(...one.told.map((part) => folded(part.name, make("pre", { tabIndex: 0 }, part.lines.join("\n")))));
  return parts;
}

const folded = (title, ...inside) => make("details", {}, make("summary", {}, title), ...inside);

function table({ caption, header, rows }) {
  const line = (cells, tag, properties) => make("tr", {}, ...cells.map((cell) => make(tag, properties, cell)));
  return make("div", { className: "wide", tabIndex: 0 }, make("table", {}, make("caption", {}, caption),
    make("thead", {}, line(header, "th", { scope: "col" })), make("tbody", {}, ...rows.map((row) => line(row, "td", {})))));
}

function quotes(title, texts) {
  if (!texts.length) return [];
  return [make("h3", {}, title), make("ul", { className: "quotes" }, ...texts.map((text) => make("li", {}, text)))];
}

/** The server refuses if HEAD is not `from` any more: what was confirmed is what happens. */
async function moveHead(to) {
  const from = tree.head;
  $("sure-words").textContent = `HEAD goes from ${from} to ${to}. Nothing is deleted: ${from} stays where it is, and the next age-up grows from ${to}.`;
  $("sure-yes").textContent = `Move HEAD to ${to}`;
  $("sure").returnValue = "";
  $("sure").showModal();
  await new Promise((closed) => $("sure").addEventListener("close", closed, { once: true }));
  if ($("sure").returnValue !== "yes") return;
  try {
    await call("/v1/rollback", { to, from });
  } finally {
    await showTree();
    await showCard(open);
  }
  $("card").focus();
}

// --- training, live ----------------------------------------------------------------------------------

let losses = [];
let seen;

async function watch() {
  const { in_flight: now, seconds_ago: ago, entries } = await get("/v1/progress");
  if ($("notice").textContent === DOWN) await enter(); // it was begun anew, maybe with other settings
  if (seen !== undefined && entries !== seen) { // one was born, HEAD was moved: here, in a terminal, by whomever
    await showTree();
    await showCard(open);
  }
  seen = entries;
  if (!now || now.step < (losses.at(-1)?.[0] ?? 0)) losses = [];
  $("training").hidden = !now;
  if (now) showTraining(now, ago);
}

function showTraining(now, ago) {
  $("doing").textContent = now.step ? "" : now.text;
  const silent = ago > 60 ? `Silent for ${duration(ago)}: it may have been stopped; germline evolve goes on.` : "";
  if ($("pace").textContent !== silent) $("pace").textContent = silent;
  $("steps").hidden = !now.step;
  if (!now.step) { // an earlier step's numbers tell nothing of what is being done now
    $("numbers").replaceChildren();
    $("curve").setAttribute("points", "");
    return;
  }
  if (losses.at(-1)?.[0] !== now.step) losses.push([now.step, now.loss]);
  Object.assign($("steps"), { max: now.steps, value: now.step });
  const told = { step: `${now.step} of ${now.steps}`, loss: now.loss?.toFixed(3), "tokens/s": now.tokens_per_second?.toFixed(0),
    left: duration(now.eta_seconds), memory: bytes(now.memory_bytes ?? now.memory) };
  $("numbers").replaceChildren(...Object.entries(told).filter(([, value]) => value).map(
    ([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  const [least, most] = [Math.min(...losses.map(([, y]) => y)), Math.max(...losses.map(([, y]) => y))];
  $("curve").setAttribute("points", losses.map(([x, y]) =>
    `${(100 * x) / now.steps},${38 - (36 * (y - least)) / (most - least || 1)}`).join(" "));
}

const duration = (s) => (s === undefined || s === null ? "" : s < 90 ? `${Math.round(s)} s` : `${Math.round(s / 60)} min`);
const bytes = (n) => (n ? `${(n / 2 ** 30).toFixed(1)} GiB` : "");

// --- chat --------------------------------------------------------------------------------------------

let sides = [];
let underWay = null;
let thumbs = false;

function fillVoices() {
  const voices = tree.generations.filter((one) => one.held && ["founded", "promoted"].includes(one.outcome));
  const names = ["HEAD", ...voices.map((one) => one.id)];
  const option = (name) => make("option", { value: name }, name === "HEAD" ? `HEAD (${tree.head})` : name || "nobody");
  for (const [id, choices] of [["one", names], ["other", ["", ...names]]]) {
    const before = $(id).value;
    $(id).replaceChildren(...choices.map(option));
    $(id).value = choices.includes(before) ? before : choices[0];
  }
  if (!sides.length) startAnew();
}

function startAnew() {
  underWay?.abort();
  sides = [$("one").value, $("other").value].filter(Boolean).map((voice) => {
    const box = make("div", { className: "side", role: "log", tabIndex: 0, ariaLabel: `${voice} in conversation` }, make("b", {}, voice));
    return { voice, box, messages: [] };
  });
  $("sides").replaceChildren(...sides.map((side) => side.box));
}

async function ask() {
  const words = $("words").value.trim();
  if (!words || underWay) return;
  const stopper = underWay = new AbortController();
  $("send").disabled = !($("stop").disabled = false);
  $("words").value = "";
  $("said").textContent = "Answering …";
  const asked = [...sides];
  const heard = [];
  try {
    // One after the other until each has begun: the server keeps one guest beside HEAD, and loads it when asked.
    for (const side of asked) {
      heard.push(hear(side, await begin(side, words, stopper.signal)));
      heard.at(-1).catch(() => {}); // told below, be it that the next does not begin
    }
    await Promise.all(heard);
    $("said").textContent = "Answered.";
  } catch (error) {
    const stopped = error.name === "AbortError";
    $("said").textContent = stopped ? "Stopped." : "Not answered.";
    // Nobody's words are lost, nor those typed meanwhile. Stopped amid an answer, they stand above it.
    if (!stopped || !heard.length) $("words").value = [words, $("words").value].filter(Boolean).join("\n");
    if (!stopped) tell(error);
  } finally {
    await Promise.allSettled(heard); // the other side may speak on, and can be stopped
    for (const busy of $("sides").querySelectorAll("[aria-busy=true]")) busy.setAttribute("aria-busy", "false");
    if (underWay === stopper) underWay = null;
    $("send").disabled = !($("stop").disabled = true);
  }
}

async function begin(side, words, signal) {
  const question = make("p", { className: "asked said" }, words);
  const shown = make("p", { className: "said", ariaBusy: "true" });
  side.box.append(question, shown);
  side.box.scrollTop = side.box.scrollHeight;
  const messages = [...side.messages, { role: "user", content: words }];
  const body = { model: side.voice, messages, stream: true, temperature: Number($("temperature").value), max_tokens: LONGEST_ANSWER };
  try {
    return { shown, messages, answer: await call("/v1/chat/completions", body, signal) };
  } catch (error) {
    for (const part of [question, shown]) part.remove(); // it was not heard, and may be asked again
    throw error;
  }
}

async function hear(side, { shown, messages, answer }) {
  let [id, said, whole] = ["", "", false];
  try {
    for await (const piece of events(answer.body)) {
      if (piece.error) throw new Error(piece.error.message);
      id = piece.id;
      said += piece.choices[0]?.delta?.content ?? "";
      whole ||= Boolean(piece.choices[0]?.finish_reason);
      shown.textContent = said.trimStart();
      side.box.scrollTop = side.box.scrollHeight;
    }
  } finally {
    shown.setAttribute("aria-busy", "false");
    if (said) side.messages = [...messages, { role: "assistant", content: said }];
    const generation = answer.headers.get("x-germline-generation");
    // The server writes an answer down before it tells its end: one that was cut short is none that can be rated.
    side.box.append(make("p", { className: "quiet" }, generation), ...(thumbs && whole ? [feedback(id, generation)] : []));
    side.box.scrollTop = side.box.scrollHeight;
  }
}

/** The JSON of server-sent events, as they come. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let read = await reached(reader.read()); !read.done; read = await reached(reader.read())) {
    const lines = (rest + read.value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: {")) yield JSON.parse(line.slice(6));
  }
}

function feedback(id, generation) {
  const told = make("span", { className: "quiet", role: "status" });
  const box = make("div", { className: "thumbs", role: "group", ariaLabel: `Was this answer of ${generation} good?` });
  let [mind, changes, sent] = [null, 0, Promise.resolve()];
  const thumb = (sign, label, score) => {
    const button = make("button", { type: "button", ariaLabel: label, title: label, ariaPressed: "false" }, sign);
    button.addEventListener("click", guarded(async () => {
      if (button.ariaPressed === "true" && mind === score) return;
      // Clicked twice, or again because no answer came, it is one event by its key. A mind changed and changed back is
      // another: the last word decides, and would else be the one in between. For the same reason they go in order.
      if (mind !== score) [mind, changes] = [score, changes + 1];
      const key = `page ${id} ${changes} ${score}`;
      const turn = sent.catch(() => {}).then(() => call("/v1/feedback", { id, score, key }));
      sent = turn;
      await turn;
      for (const each of box.querySelectorAll("button")) each.ariaPressed = String(each === button);
      told.textContent = "Noted.";
    }));
    return button;
  };
  box.append(thumb("👍 good", "Good answer", 1), thumb("👎 bad", "Bad answer", -1), told);
  return box;
}

// --- begin -------------------------------------------------------------------------------------------

const enter = guarded(async () => {
  const wrong = takeToken();
  if (!sessionStorage.getItem(KEY)) askForToken();
  else {
    thumbs = "/v1/feedback" in (await get("/openapi.json")).paths;
    await showTree();
    await showCard(open);
    $("door").hidden = true;
  }
  if (wrong) throw new Error(wrong);
});

$("knock").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = $("token").value.trim();
  if (!TOKEN.test(token)) return tell("This is no token: one has 32 letters, digits and signs or more.");
  sessionStorage.setItem(KEY, token);
  enter();
});
$("ask").addEventListener("submit", (event) => { event.preventDefault(); guarded(ask)(); });
$("words").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("ask").requestSubmit(); }
});
$("stop").addEventListener("click", () => underWay?.abort());
$("anew").addEventListener("click", startAnew);
for (const id of ["one", "other"]) $(id).addEventListener("change", startAnew);
$("temperature").addEventListener("input", () => { $("warmth").textContent = Number($("temperature").value).toFixed(1); });
addEventListener("hashchange", guarded(async () => {
  if (!tree || bringsToken()) return enter();
  await showCard();
  $("card").focus();
}));

await enter();
let trouble = ""; // what watching ran into; told until it goes well again
for (;;) {
  if (sessionStorage.getItem(KEY) && !document.hidden) {
    try {
      await watch();
      if ($("notice").textContent === trouble) tell(null);
      trouble = "";
    } catch (error) {
      tell(error);
      trouble = $("notice").textContent;
    }
  }
  await new Promise((due) => setTimeout(due, POLL_MS));
}
