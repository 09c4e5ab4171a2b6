// TensorBoard in the page, at whichever address answers from here: Python cannot know what lies between them.

import { button, h, setText } from "./dom.js";
import { isAlone } from "./page.js";

/** @import { Model, Send } from "./model.js" */

const WATCH = 5000; // ms between two looks whether it is still there
const PINNED = ["loss/dev", "loss/train"].map((tag) => ({ plugin: "scalars", tag })); // seen first

/**
 * Where a server on `port` may be reached, the likeliest first: on this machine, or through the Jupyter server.
 * @param {number} port
 */
function addresses(port) {
  let base = null;
  try {
    base = JSON.parse(/** @type {string} */ (document.getElementById("jupyter-config-data")?.textContent)).baseUrl;
  } catch { /* a page of another kind */ }
  const proxied = base === null ? [] : [new URL(`${base}proxy/${port}/`, location.origin).href];
  const here = ["localhost", "127.0.0.1"].includes(location.hostname) ? location.hostname : "localhost";
  const direct = `http://${here}:${port}/`;
  if (!location.protocol.startsWith("http")) return [direct]; // as in VS Code
  if (here !== location.hostname) return proxied;
  return base === null || base === "/" ? [direct, ...proxied] : [...proxied, direct]; // with a base it is a hub's
}

/** @param {string} address @param {string | undefined} key */
async function answers(address, key) {
  try {
    const reply = await fetch(`${address}data/plugin/nmlab/hello`, { cache: "no-store", signal: AbortSignal.timeout(8000) });
    return reply.ok && (await reply.json()).key === key; // another's server may have the port by now
  } catch {
    return false;
  }
}

/**
 * @param {Model} model
 * @param {Send} send
 * @param {() => boolean} dark
 */
export function makeBoard(model, send, dark) {
  const title = h("h3", {}, "TensorBoard");
  const which = h("span", { class: "nm-soft" });
  const link = h("a", { target: "_blank", rel: "noopener", hidden: true }, "Open in a tab");
  const close = button("Close", () => send({ do: "close tensorboard" }), { "aria-label": "Close TensorBoard" });
  const words = h("div", { class: "nm-board-words", role: "status" });
  const place = h("div", { class: "nm-board-frame", hidden: true });
  const head = h("div", { class: "nm-row" }, title, which, h("span", { class: "nm-gap" }), link, close);
  const root = h("section", { class: "nm-board", "aria-label": "TensorBoard", hidden: true }, head, words, place);
  let shown = ""; // what the frame is of
  let watching = 0;
  let asked = false; // by a click in this view, which then wants to see it

  function leave() {
    clearInterval(watching);
    place.replaceChildren();
    place.hidden = link.hidden = true;
    shown = "";
  }

  async function show() {
    const now = model.get("board");
    const of = JSON.stringify([now.phase, now.port, now.key, now.filter]);
    root.hidden = !now.phase;
    if (asked && now.phase) root.scrollIntoView({ block: "start", behavior: "smooth" });
    if (now.phase !== "starting") asked = false;
    setText(which, now.what || "");
    close.hidden = now.closable === false;
    if (of === shown) return;
    leave();
    shown = of;
    words.innerHTML = now.html || "";
    if (now.phase !== "serving" || (await isAlone(model))) return; // a saved page's port may be anyone's by now
    if (of !== shown) return;
    setText(words, "Connecting…");
    const tried = addresses(now.port ?? 0);
    let address = null;
    for (const each of tried) if (address === null && (await answers(each, now.key))) address = each;
    if (of !== shown) return; // asked for something else meanwhile
    if (address === null) {
      send({ do: "no tensorboard", tried });
      return;
    }
    setText(words, "");
    const how = new URLSearchParams({ theme: dark() ? "dark" : "light", pinnedCards: JSON.stringify(PINNED) });
    if (now.filter) how.set("runFilter", now.filter);
    link.href = `${address}data/plugin/nmlab/start?${how}`;
    place.style.height = `${now.height}px`;
    place.replaceChildren(h("iframe", { title: "TensorBoard", src: link.href }));
    place.hidden = link.hidden = false;
    let missed = 0;
    watching = setInterval(async () => {
      missed = (await answers(address, now.key)) ? 0 : missed + 1;
      if (missed < 2 || of !== shown) return;
      leave();
      shown = of;
      words.textContent = "TensorBoard has stopped. Open it again to continue.";
    }, WATCH);
  }

  model.on("change:board", show);
  show();
  const open = (/** @type {string[]} */ runs) => {
    asked = true;
    send({ do: "tensorboard", runs });
  };
  return { root, open, close: leave };
}
