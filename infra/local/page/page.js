// @ts-check
// Members side by side, each with its own token and its own pusher-js connection.
// The page speaks to three servers as a real chat does: the chat's API (sends,
// joins, leaves; row level security), Roomcast (/pusher/auth) and Pusher.

import { Pane } from "./pane.js";
import { figures } from "./figures.js";

const config = await (await fetch("config.json")).json();
const panes = /** @type {HTMLElement} */ (document.getElementById("panes"));

/** Opens a pane in its person's colour. @param {string} token */
function open(token) {
  const tone = [...config.members, config.stranger].indexOf(token);
  const pane = new Pane(config, token, Math.max(0, tone));
  panes.append(pane.element);
  panes.dataset.count = String(panes.children.length);
  pane.start();
}

figures.show(document);

// With ?token=… the page is one person's: somebody's own screen, or a stranger's.
const given = new URLSearchParams(location.search).get("token");
for (const token of given ? [given] : config.members) open(token);

const stranger = /** @type {HTMLButtonElement} */ (document.getElementById("stranger"));
stranger.hidden = Boolean(given);
stranger.addEventListener("click", () => {
  stranger.hidden = true;
  open(config.stranger);
});

document.getElementById("theme")?.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = getComputedStyle(root).colorScheme === "dark" ||
    (getComputedStyle(root).colorScheme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.style.colorScheme = dark ? "light" : "dark";
});
