// @ts-check
// One person's screen: a connection, the rooms, and the room that is open.

import { Api } from "./api.js";
import { el, replace } from "./dom.js";
import { Network } from "./network.js";
import { stir } from "./parity.js";
import { Room } from "./room.js";

const words = /** @type {Record<string, string>} */ ({
  initialized: "starting", connecting: "connecting", connected: "connected",
  unavailable: "no connection, trying again", failed: "not supported", disconnected: "disconnected",
});

/** How long a network stays cut, in seconds. */
const cutFor = 8;

export class Pane {
  /** @param {any} app @param {string} token @param {number} tone */
  constructor(app, token, tone) {
    this.config = app.config;
    this.api = new Api(token);
    const claims = readClaims(token);
    this.me = claims.sub ?? "";
    this.name = claims.user_metadata?.name ?? "Unknown";
    /** @type {Map<string, Room>} */
    this.rooms = new Map();
    this.open = app.config.room;
    this.draw(tone);
    this.network = new Network(token, (left) => this.showNetwork(left));
    this.pusher = this.connect();
    this.network.attach(this.pusher);
    this.roomcast = this.listen(app, async () => token);
    this.roomcast.on("status", () => this.showState(this.pusher.connection.state));
    // The person's own stream: somebody added them to a room.
    this.roomcast.me().on("user-joined", (/** @type {{room_id: string}} */ { room_id }) => this.rooms.get(room_id)?.invited());
  }

  draw(/** @type {number} */ tone) {
    this.state = el("span", { className: "state", textContent: words.initialized });
    this.membership = el("button", { type: "button", hidden: true, onclick: () => this.toggle() });
    this.cutter = el("button", { type: "button", className: "cut", textContent: "Cut the network",
      onclick: () => this.network.isDown ? this.network.restore() : this.network.cut(cutFor) });
    this.tabs = el("div", { className: "rooms", role: "tablist", "aria-label": "Rooms",
      onkeydown: (/** @type {KeyboardEvent} */ e) => this.turn(e) });
    this.typing = el("p", { className: "typing", "aria-live": "polite" });
    this.about = el("div", { className: "about" });
    this.log = el("ol", { className: "log", "aria-live": "polite", tabIndex: 0, "aria-label": "Messages" });
    this.input = el("input", { name: "content", autocomplete: "off", maxLength: 4000, "aria-label": "Message",
      oninput: () => this.type() });
    this.form = el("form", { className: "send", hidden: true, onsubmit: (/** @type {Event} */ e) => this.submit(e) },
      this.input, el("button", { type: "submit", textContent: "Send" }));
    this.element = el("section",
      { className: "pane", "data-user": this.me, "data-tone": String(tone), "aria-label": this.name },
      el("div", { className: "who" },
        el("span", { className: "avatar", textContent: this.name.slice(0, 1) }),
        el("div", {}, el("strong", { textContent: this.name }), this.state),
        this.membership, this.cutter),
      this.tabs, this.about, this.log, this.typing, this.form);
  }

  /** The real pusher-js. Roomcast's client becomes its authorizer. */
  connect() {
    const { key, host, tls } = this.config.pusher;
    const [name, port] = splitHost(host);
    const pusher = new /** @type {any} */ (window).Pusher(key, {
      cluster: "", // required by pusher-js, unused beside wsHost
      wsHost: name, wsPort: port, wssPort: port, forceTLS: tls,
      enabledTransports: [tls ? "wss" : "ws"], enableStats: false,
    });
    pusher.connection.bind("state_change", (/** @type {{current: string}} */ { current }) => this.showState(current));
    return pusher;
  }

  /** Roomcast's client, with the real supabase-js beside it if there is a Realtime. @param {any} app @param {() => Promise<string>} token */
  listen(app, token) {
    const { roomcast: url, supabase: project } = this.config;
    const supabase = project && /** @type {any} */ (window).supabase.createClient(project.url, project.key, {
      accessToken: token,
      realtime: { transport: this.network.WebSocket, reconnectAfterMs: () => 1000 },
    });
    const count = supabase ? app.sendReceipts({ url, token, every: 2, grace: 3 }) : () => {};
    return app.createRoomcast({
      url, token, supabase, pusher: this.pusher, mode: app.mode,
      onSeen: (/** @type {any} */ arrival) => {
        count(arrival);
        stir();
        this.rooms.get(arrival.room)?.deliveries.see(arrival);
      },
    });
  }

  /** @param {string} state of pusher-js */
  showState(state) {
    const by = { polling: "Pusher is away: asking every few seconds", supabase: "by Supabase" }[/** @type {string} */ (this.roomcast?.status)];
    this.state.textContent = this.network.isDown ? "network cut" : state === "connected" && by || words[state] || state;
    this.state.dataset.state = state;
  }

  /** @param {number} left in seconds */
  showNetwork(left) {
    this.cutter.textContent = left ? `Restore (${left} s)` : "Cut the network";
    this.element.classList.toggle("offline", left > 0);
    this.showState(this.pusher.connection.state);
  }

  async start() {
    for (const r of await this.api.get("/api/rooms")) {
      const room = new Room(this, r);
      this.rooms.set(r.id, room);
      if (r.joined || r.id === this.open) room.enter();
    }
    this.show();
  }

  current() {
    return this.rooms.get(this.open);
  }

  /** Draws all but the log's messages, which each room keeps as elements. */
  show() {
    const room = this.current();
    if (!room) return;
    replace(this.tabs, [...this.rooms.values()].map((r) => this.tab(r, r === room)));
    this.about.replaceChildren(el("span", { textContent: room.topic }), this.people(room));
    this.typing.textContent = [...room.typing.keys()].map((id) => `${room.nameOf(id)} is typing…`).join(" ");
    this.membership.textContent = room.joined ? "Leave room" : "Join room";
    this.membership.hidden = room.status !== "open";
    this.form.hidden = room.status !== "open";
    this.input.placeholder = `Message ${room.name}`;
    const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 80;
    const moved = this.shown !== room;
    this.shown = room;
    replace(this.log, room.elements());
    if (atEnd || moved) this.log.scrollTop = this.log.scrollHeight;
  }

  /** A room's tab, the same element each time: a new one would lose the focus. @param {Room} r @param {boolean} open */
  tab(r, open) {
    const tab = r.tab ??= el("button", { type: "button", role: "tab", onclick: () => this.choose(r) });
    tab.setAttribute("aria-selected", String(open));
    tab.tabIndex = open ? 0 : -1;
    tab.replaceChildren(r.name, ...r.unread ? [el("b", { textContent: String(r.unread), "aria-label": `, ${r.unread} unread` })] : []);
    return tab;
  }

  /** Arrow keys go from tab to tab. @param {KeyboardEvent} e */
  turn(e) {
    const rooms = [...this.rooms.values()], at = rooms.findIndex((r) => r.id === this.open);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: rooms.length - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    const room = rooms[(to + rooms.length) % rooms.length];
    this.choose(room);
    room.tab?.focus();
  }

  /** Who is in the room, with a dot for who is online; members may add others. @param {Room} room */
  people(room) {
    const names = [...room.people].map((id) => el("span", { className: room.online.has(id) ? "person online" : "person",
      title: room.online.has(id) ? "online" : "", textContent: room.nameOf(id) }));
    const others = room.joined ? Object.keys(room.names).filter((id) => !room.people.has(id)) : [];
    const invite = others.map((id) => el("button", { type: "button", className: "invite", textContent: `Add ${room.nameOf(id)}`,
      onclick: () => this.api.send("POST", `/api/rooms/${room.id}/invite`, { content: id }).catch((/** @type {Error} */ err) => room.note(err.message)) }));
    return el("span", { className: "people" }, ...names, ...invite);
  }

  /** Tells the others, at most every two seconds. */
  type() {
    const now = Date.now();
    if (now - (this.typed ?? 0) > 2000 && this.current()?.listening?.send("typing", { user: this.me })) this.typed = now;
  }

  /** @param {Room} room */
  choose(room) {
    this.open = room.id;
    room.unread = 0;
    if (room.status === "closed") room.enter();
    this.show();
  }

  /** @param {Event} e */
  async submit(e) {
    e.preventDefault();
    const input = /** @type {HTMLInputElement} */ (this.input);
    const content = input.value.trim();
    const room = this.current();
    if (!content || !room) return;
    input.value = "";
    try {
      await this.api.send("POST", `/api/rooms/${room.id}/messages`, { content });
    } catch (err) {
      input.value ||= content; // nothing typed is lost
      room.note(`Not sent: ${/** @type {Error} */ (err).message}`);
    }
  }

  async toggle() {
    const room = this.current();
    if (room) await (room.joined ? room.leave() : room.join());
  }
}

/** @param {string} host "name:port" or "[v6]:port" */
function splitHost(host) {
  const at = host.lastIndexOf(":");
  return [host.slice(0, at), Number(host.slice(at + 1))];
}

/** Reads a token's claims for display; the servers are the ones who verify. @param {string} token */
function readClaims(token) {
  try {
    const bytes = Uint8Array.from(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {};
  }
}
