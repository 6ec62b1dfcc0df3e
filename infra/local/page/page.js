// @ts-check
// Members side by side, each with their own token, network and connections. The page
// speaks to servers as a real chat does: the chat's API (sends, joins, leaves; row level
// security), Roomcast, Pusher and Supabase Realtime. Roomcast's client merges the ways.

import { Pane } from "./pane.js";
import { figures } from "./figures.js";
import { watch } from "./parity.js";

const config = await (await fetch("config.json")).json();
// From the function, as a chat would have them.
const [{ createRoomcast }, { sendReceipts }] = await Promise.all(
  ["roomcast.js", "receipts.js"].map((name) => import(`${config.roomcast}/${name}`)));
const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

const app = { config, createRoomcast, sendReceipts, mode: config.supabase ? "both" : "pusher" };
const panes = /** @type {Pane[]} */ ([]);

/** Opens a pane in its person's colour. @param {string} token */
function open(token) {
  const tone = [...config.members, config.stranger].indexOf(token);
  const pane = new Pane(app, token, Math.max(0, tone));
  panes.push(pane);
  byId("panes").append(pane.element);
  byId("panes").dataset.count = String(panes.length);
  pane.start();
}

figures.show(document);

// With ?token=… the page is one person's: somebody's own screen, or a stranger's.
const given = new URLSearchParams(location.search).get("token");
for (const token of given ? [given] : config.members) open(token);

byId("stranger").hidden = Boolean(given);
byId("stranger").addEventListener("click", () => {
  byId("stranger").hidden = true;
  open(config.stranger);
});

// The switch of the move. What the function says (roomcast.json) would do it for a chat.
if (config.supabase) {
  byId("move").hidden = false;
  document.body.dataset.mode = app.mode;
  for (const choice of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll('input[name="mode"]'))) {
    choice.checked = choice.value === app.mode;
    choice.addEventListener("change", () => {
      app.mode = document.body.dataset.mode = choice.value;
      for (const pane of panes) pane.roomcast.setMode(app.mode);
    });
  }
  watch(byId("move"));
}

byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = getComputedStyle(root).colorScheme === "dark" ||
    (getComputedStyle(root).colorScheme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.style.colorScheme = dark ? "light" : "dark";
});
