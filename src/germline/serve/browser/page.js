// The page. Whatever comes from the server may quote a model or a stranger's file: it becomes text, never HTML.

const POLL_MS = 1000;
const LONGEST_ANSWER = 256; // tokens
const KEY = "germline token";
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

/** The token comes in the fragment, which no browser sends anywhere, and leaves the address bar at once. */
function takeToken() {
  const fragment = decodeURIComponent(location.hash.slice(1));
  if (fragment.length >= 32) {
    sessionStorage.setItem(KEY, fragment);
    history.replaceState(null, "", location.pathname);
  }
}

async function call(path, body, signal) {
  const token = sessionStorage.getItem(KEY) ?? "";
  const headers = { Authorization: `Bearer ${token}` };
  const asked = { headers, signal };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    Object.assign(asked, { method: "POST", body: JSON.stringify(body) });
  }
  const answer = await fetch(path, asked);
  if (answer.ok) return answer;
  if (answer.status === 401 && sessionStorage.getItem(KEY) === token) sessionStorage.removeItem(KEY);
  const told = await answer.json().catch(() => null);
  throw Object.assign(new Error(told?.error?.message ?? `the server answered ${answer.status}`), { status: answer.status });
}

const get = async (path) => (await call(path)).json();

/** What goes wrong is said where everybody can read and hear it. */
function tell(error) {
  if (error?.status === 401) askForToken();
  $("notice").textContent = error ? `${error.message ?? error}` : "";
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
const picture = (svg) => `data:image/svg+xml,${encodeURIComponent(svg)}`;
const chosen = () => (/^#g\d+$/.test(location.hash) ? location.hash.slice(1) : tree.head);

async function showTree() {
  tree = await get("/v1/lineage");
  document.title = $("name").textContent = tree.name;
  $("maturity").textContent = tree.maturity;
  $("graph").src = picture(tree.graph);
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

async function showCard() {
  const name = chosen();
  const one = await get(`/v1/generations/${name}`);
  if (name !== chosen()) return; // another was chosen meanwhile
  for (const link of $("generations").querySelectorAll("a")) {
    if (link.hash === `#${one.id}`) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  $("card").replaceChildren(...card(one));
  $("card").hidden = false;
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
    await showCard();
  }
  $("card").focus();
}

// --- training, live ----------------------------------------------------------------------------------

let losses = [];
let last = null;

async function watch() {
  if (sessionStorage.getItem(KEY) && !document.hidden) {
    const { in_flight: now, seconds_ago: ago } = await get("/v1/progress");
    if (last && !now) await guarded(showTree)(); // a generation was born
    if (!now || (last && now.step < last.step)) losses = [];
    last = now;
    $("training").hidden = !now;
    if (now) showTraining(now, ago);
  }
}

function showTraining(now, ago) {
  $("doing").textContent = now.step ? "" : now.text;
  if (!now.step) return;
  if (losses.at(-1)?.[0] !== now.step) losses.push([now.step, now.loss]);
  Object.assign($("steps"), { max: now.steps, value: now.step });
  const told = { step: `${now.step} of ${now.steps}`, loss: now.loss?.toFixed(3), "tokens/s": now.tokens_per_second?.toFixed(0),
    left: duration(now.eta_seconds), memory: bytes(now.memory_bytes ?? now.memory) };
  $("numbers").replaceChildren(...Object.entries(told).filter(([, value]) => value).map(
    ([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  const [least, most] = [Math.min(...losses.map(([, y]) => y)), Math.max(...losses.map(([, y]) => y))];
  $("curve").setAttribute("points", losses.map(([x, y]) =>
    `${(100 * x) / now.steps},${38 - (36 * (y - least)) / (most - least || 1)}`).join(" "));
  const silent = ago > 60 ? `Silent for ${duration(ago)}: it may have been stopped; germline evolve goes on.` : "";
  if ($("pace").textContent !== silent) $("pace").textContent = silent;
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
  try {
    const heard = [];
    // One after the other until each has begun: the server keeps one guest beside HEAD, and loads it when asked.
    for (const side of asked) heard.push(hear(side, await begin(side, words, stopper.signal)));
    await Promise.all(heard);
    $("said").textContent = "Answered.";
  } catch (error) {
    if (error.name !== "AbortError") throw error;
    $("said").textContent = "Stopped.";
  } finally {
    for (const busy of $("sides").querySelectorAll("[aria-busy=true]")) busy.setAttribute("aria-busy", "false");
    if (underWay === stopper) underWay = null;
    $("send").disabled = !($("stop").disabled = true);
  }
}

async function begin(side, words, signal) {
  side.box.append(make("p", { className: "asked said" }, words));
  const shown = make("p", { className: "said" });
  shown.setAttribute("aria-busy", "true");
  side.box.append(shown);
  side.box.scrollTop = side.box.scrollHeight;
  const messages = [...side.messages, { role: "user", content: words }];
  const body = { model: side.voice, messages, stream: true, temperature: Number($("temperature").value), max_tokens: LONGEST_ANSWER };
  return { shown, messages, answer: await call("/v1/chat/completions", body, signal) };
}

async function hear(side, { shown, messages, answer }) {
  let [id, said] = ["", ""];
  try {
    for await (const piece of events(answer.body)) {
      if (piece.error) throw new Error(piece.error.message);
      id = piece.id;
      said += piece.choices[0]?.delta?.content ?? "";
      shown.textContent = said.trimStart();
      side.box.scrollTop = side.box.scrollHeight;
    }
  } finally {
    shown.setAttribute("aria-busy", "false");
    if (said) side.messages = [...messages, { role: "assistant", content: said }];
    const generation = answer.headers.get("x-germline-generation");
    side.box.append(make("p", { className: "quiet" }, generation), ...(thumbs && id ? [feedback(id, generation)] : []));
    side.box.scrollTop = side.box.scrollHeight;
  }
}

/** The JSON of server-sent events, as they come. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    const lines = (rest + read.value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: {")) yield JSON.parse(line.slice(6));
  }
}

function feedback(id, generation) {
  const told = make("span", { className: "quiet", role: "status" });
  const box = make("div", { className: "thumbs", role: "group", ariaLabel: `Was this answer of ${generation} good?` });
  const thumb = (sign, label, score) => {
    const button = make("button", { type: "button", ariaLabel: label, title: label, ariaPressed: "false" }, sign);
    button.addEventListener("click", guarded(async () => {
      await call("/v1/feedback", { id, score });
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
  if (!sessionStorage.getItem(KEY)) return askForToken();
  thumbs = "/v1/feedback" in (await get("/openapi.json")).paths;
  await showTree();
  await showCard();
  $("door").hidden = true;
});

$("knock").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $("token").value.trim());
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
  takeToken();
  await showCard();
  $("card").focus();
}));

takeToken();
await enter();
for (;;) {
  await watch().catch(tell);
  await new Promise((due) => setTimeout(due, POLL_MS));
}
