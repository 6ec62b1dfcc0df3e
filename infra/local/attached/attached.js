// @ts-check
// Any chat's page: what is attached, its rooms, and one room's events as one user hears
// them, by Roomcast's own client.

const byId = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const el = (/** @type {string} */ tag, /** @type {(Node | string)[]} */ ...children) => {
  const e = document.createElement(tag);
  e.append(...children);
  return e;
};
const json = async (/** @type {string} */ path) => (await fetch(path)).json();

/** How many events stay on the page. */
const kept = 200;

const config = await json("config.json");
const { createRoomcast } = await import(`${config.roomcast}/roomcast.js`);
const form = byId("listen");
let stop = () => {};

/** Shows what is attached, and offers the rooms. */
async function show() {
  const chat = await json("chat.json");
  byId("tables").replaceChildren(...chat.tables.map((/** @type {any} */ t) =>
    el("tr", el("td", t.table), el("td", t.name), el("td", t.kind))));
  byId("rooms").replaceChildren(...chat.rooms.map(roomLine));
}

/** @param {{id: string, head: number, at?: string, members: string[]}} room */
function roomLine(room) {
  const events = room.head ? `${room.head} events, the last ${new Date(room.at ?? 0).toLocaleString()}` : "no events yet";
  const button = el("button", room.id, el("br"), el("small", `${events}, ${room.members.length} members`));
  button.onclick = () => {
    form.room.value = room.id;
    form.user.value = room.members[0] ?? "";
    byId("members").replaceChildren(...room.members.map((m) => new Option(m)));
    if (form.user.value) form.requestSubmit();
  };
  return el("li", button);
}

/** Listens as a user, to a room and to the user's own channel, in place of what was listened to before. */
async function listen(/** @type {string} */ id, /** @type {string} */ user) {
  stop();
  byId("events").replaceChildren();
  status("joining");
  const { token } = await json(`token.json?user=${encodeURIComponent(user)}`);
  const [host, port] = config.pusher.host.split(":");
  const pusher = new /** @type {any} */ (window).Pusher(config.pusher.key, {
    cluster: "", wsHost: host, wsPort: port, wssPort: port, forceTLS: config.pusher.tls,
    enabledTransports: [config.pusher.tls ? "wss" : "ws"], enableStats: false,
  });
  const rooms = createRoomcast({ pusher, url: config.roomcast, token: async () => token });
  const me = rooms.me();
  me.on("*", (/** @type {any} */ data, /** @type {string} */ name) => event(name, data, "to this user"));
  const room = id ? rooms.join(id) : me;
  stop = () => { room.leave(); me.leave(); pusher.disconnect(); };
  room.on("live", () => status("live"));
  room.on("denied", () => status("not a member of this room"));
  room.on("error", (/** @type {any} */ e) => status(e.status ? `the function answers ${e.status}` : "the function cannot be reached"));
  room.on("reset", () => status("reset: a page would load its table again"));
  if (id) room.on("*", (/** @type {any} */ data, /** @type {string} */ name) => event(name, data));
}

function status(/** @type {string} */ text) {
  byId("status").textContent = text;
}

/** @param {string} name @param {any} data @param {string} [to] */
function event(name, data, to) {
  const { roomcast, ...row } = data;
  const line = el("li", el("span", `#${roomcast?.seq ?? ""} `), el("strong", name), to ? ` ${to}` : "",
    el("pre", JSON.stringify(row, null, 1)));
  line.dataset.event = name;
  line.firstElementChild?.classList.add("seq");
  byId("events").prepend(line);
  while (byId("events").children.length > kept) byId("events").lastElementChild.remove();
}

form.addEventListener("submit", (/** @type {Event} */ e) => {
  e.preventDefault();
  listen(form.room.value, form.user.value);
});
await show();
