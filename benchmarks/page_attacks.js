// What a page of another site can try against a server on loopback. Each tells what came of it; "read …" is a loss.
// It is given the server's URL, the right TOKEN (which it could not know) and the true HEAD.

({ URL, TOKEN, HEAD }) => {
  const words = JSON.stringify({ to: "g0", from: HEAD });
  const json = { "Content-Type": "application/json" };
  const bearer = { Authorization: `Bearer ${TOKEN}` };
  const told = (answer) => `read ${answer.status}`;
  const post = (more) => fetch(URL + "v1/rollback", { method: "POST", body: words, ...more });
  const embedded = (tag, properties) => new Promise((done) => {
    const element = document.createElement(tag);
    Object.assign(element, properties, { onload: () => done("read"), onerror: () => done("error") });
    document.body.append(element);
  });
  const peeked = (look) => { try { return `read ${look()}`; } catch (error) { return error.name; } };
  const later = (ms) => new Promise((done) => setTimeout(done, ms));
  return {
    "fetch, no-cors, text/plain": () => post({ mode: "no-cors" }).then((answer) => answer.type),
    "fetch, text/plain": () => post().then(told),
    "fetch, application/json": () => post({ headers: json }).then(told),
    "fetch, application/json and the right token": () => post({ headers: { ...json, ...bearer } }).then(told),
    "fetch, credentials included": () => fetch(URL + "v1/models", { credentials: "include" }).then(told),
    "reading /v1/models": () => fetch(URL + "v1/models").then(told),
    "reading /v1/models with the right token": () => fetch(URL + "v1/models", { headers: bearer }).then(told),
    "reading the page": () => fetch(URL).then(told),
    "sendBeacon": () => (navigator.sendBeacon(URL + "v1/rollback", words) ? "sent, answer unread" : "not sent"),
    "<img>": () => embedded("img", { src: URL + "v1/models" }),
    "<script>": () => embedded("script", { src: URL + "page.js" }),
    "<link rel=stylesheet>": () => embedded("link", { rel: "stylesheet", href: URL + "page.css" }),
    "WebSocket": () => new Promise((done) => {
      const socket = new WebSocket(URL.replace("http", "ws"));
      Object.assign(socket, { onopen: () => done("read"), onerror: () => done("error") });
    }),
    "<iframe>": async () => {
      const frame = document.createElement("iframe");
      frame.src = URL;
      document.body.append(frame);
      await later(1000);
      return peeked(() => frame.contentWindow.document.body.innerText);
    },
    "window.open, reading its storage": async () => {
      const opened = window.open(URL);
      await later(1000);
      return peeked(() => opened.sessionStorage.length);
    },
  };
}
