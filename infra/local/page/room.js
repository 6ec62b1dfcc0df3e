// @ts-check
// One room as one person sees it. Roomcast's client brings each event once and in
// order; a message loaded from the table is met again by its id.

import { Deliveries } from "./deliveries.js";
import { el, icon } from "./dom.js";

const emoji = "\u2693"; // an anchor, which everybody may give
const lock = "M7 11V8a5 5 0 0 1 10 0v3M6 11h12v9H6zM12 15v2";
const door = "M5 20V5h9v15M3 20h18M11 12v1M17 9l3 3-3 3M20 12h-5";

/** @typedef {{seq: number, epoch: string, at: string, stub?: boolean}} Stamp */
/** @typedef {{id: string, message_id: string, user_id: string, emoji: string}} Reaction */
/** @typedef {{id: string, room_id: string, user_id: string, content: string, created_at: string, roomcast?: Stamp}} Message */

export class Room {
  /** @param {import("./pane.js").Pane} pane @param {{id: string, name: string, topic: string, joined: boolean}} r */
  constructor(pane, r) {
    this.pane = pane;
    this.id = r.id;
    this.name = r.name;
    this.topic = r.topic;
    this.joined = r.joined;
    /** closed: not entered; asking; open; refused; left @type {string} */
    this.status = "closed";
    this.reason = "";
    this.tab = /** @type {HTMLElement | undefined} */ (undefined); // see Pane.tab
    this.unread = 0;
    this.people = /** @type {Set<string>} */ (new Set());
    this.names = /** @type {Record<string, string>} */ ({});
    this.entries = /** @type {Map<string, HTMLElement>} */ (new Map());
    this.rows = /** @type {Map<string, Message>} */ (new Map());
    /** By the reaction's id. */
    this.reactions = /** @type {Map<string, Reaction>} */ (new Map());
    this.online = /** @type {Set<string>} */ (new Set());
    this.typing = /** @type {Map<string, number>} */ (new Map()); // who, and the timer that ends it
    this.deliveries = new Deliveries((id) => this.redraw(id));
  }

  /** Listens first and loads once it is live, so that nothing falls between the two. */
  enter() {
    this.status = "asking";
    const room = this.listening = this.pane.roomcast.join(this.id, { presence: true });
    const on = (/** @type {string} */ name, /** @type {(data: any) => void} */ show) =>
      room.on(name, (/** @type {any} */ data) => { show(data); this.pane.show(); });
    on("new-message", (m) => this.message(m));
    on("message-updated", (m) => this.message(m));
    on("message-deleted", (m) => this.deleted(m.id));
    on("new-reaction", (r) => this.react(r));
    on("reaction-deleted", (r) => this.unreact(r.id));
    on("members", (members) => { this.online = new Set(members.map((/** @type {{id: string}} */ m) => m.id)); });
    on("client-typing", ({ user }) => this.types(user));
    on("user-joined", (m) => this.moved(m, true));
    on("user-left", (m) => this.moved(m, false));
    on("reset", () => { this.entries.clear(); this.load(); });
    on("denied", () => this.refused(403));
    on("error", (e) => { if (e.status === 401 || e.status === 403) this.refused(e.status); });
    room.on("live", () => this.admitted());
  }

  async admitted() {
    this.status = "open";
    this.joined = true;
    await this.load().catch((e) => this.note(`Not loaded: ${e.message}`));
  }

  async load() {
    const state = await this.pane.api.get(`/api/rooms/${this.id}`);
    this.names = state.names;
    this.people = new Set(state.people);
    this.reactions = new Map((state.reactions ?? []).map((/** @type {Reaction} */ r) => [r.id, r]));
    const fresh = this.entries;
    this.entries = new Map();
    for (const m of state.messages) this.entries.set(m.id, fresh.get(m.id) ?? this.bubble(m));
    for (const [id, e] of fresh) if (!this.entries.has(id)) this.entries.set(id, e);
    this.pane.show();
  }

  /** @param {number} status of the function's answer */
  refused(status) {
    if (this.joined && status === 403) return this.ended(); // somebody took them out
    this.status = "refused";
    this.reason = status === 401 ? "Your token is not accepted here." : "Only members of this room can listen.";
    this.exit();
    this.pane.show();
  }

  exit() {
    this.listening?.leave();
    this.listening = undefined;
  }

  /** @param {Message} m */
  message(m) {
    const known = this.entries.has(m.id);
    this.entries.set(m.id, this.bubble(m, !known));
    if (!known && this.pane.current() !== this) this.unread++;
  }

  /** @param {string} id */
  deleted(id) {
    this.rows.delete(id); // its line stays as it is: Supabase tells nobody of a filtered DELETE
    const e = this.entries.get(id);
    if (!e) return;
    e.classList.add("deleted");
    e.querySelector("p")?.replaceChildren("deleted");
    e.querySelector(".acts")?.remove();
    e.querySelector(".reactions")?.replaceChildren();
  }

  /** @param {Reaction} r */
  react(r) {
    this.reactions.set(r.id, r);
    this.redrawReactions(r.message_id);
  }

  /** A deletion carries the id only. @param {string} id */
  unreact(id) {
    const message = this.reactions.get(id)?.message_id;
    this.reactions.delete(id);
    if (message) this.redrawReactions(message);
  }

  /** @param {string} message */
  redrawReactions(message) {
    this.entries.get(message)?.querySelector(".reactions")?.replaceWith(this.reactionsOf(message));
  }

  /** Each emoji once, with how many; pressed if one is the person's own. @param {string} message */
  reactionsOf(message) {
    const given = [...this.reactions.values()].filter((r) => r.message_id === message);
    const path = `/api/rooms/${this.id}/messages/${message}/reactions`;
    const chips = [...new Set([...given.map((r) => r.emoji), emoji])].map((face) => {
      const all = given.filter((r) => r.emoji === face);
      const own = all.find((r) => r.user_id === this.pane.me);
      const toggle = () => (own ? this.pane.api.send("DELETE", `${path}/${own.id}`) : this.pane.api.send("POST", path, { content: face }))
        .catch((/** @type {Error} */ e) => this.note(e.message));
      const names = all.map((r) => this.nameOf(r.user_id)).join(", ");
      return el("button", { type: "button", className: all.length ? "" : "add", "aria-pressed": String(Boolean(own)), "aria-label": `${face} ${names || "nobody yet"}`,
        title: names, textContent: all.length ? `${face} ${all.length}` : face, onclick: toggle });
    });
    return el("div", { className: "reactions" }, ...chips);
  }

  /** Somebody is typing; nothing is heard when they stop. @param {string} user */
  types(user) {
    if (!this.names[user] || user === this.pane.me) return;
    clearTimeout(this.typing.get(user));
    this.typing.set(user, setTimeout(() => { this.typing.delete(user); this.pane.show(); }, 3000));
  }

  /** Somebody else has added this person. */
  invited() {
    this.note("You were added to this room");
    if (this.joined) return;
    this.exit();
    this.enter();
    this.pane.show();
  }

  /** @param {{user_id: string, roomcast?: Stamp}} m @param {boolean} joined */
  moved(m, joined) {
    if (joined) this.people.add(m.user_id);
    else this.people.delete(m.user_id);
    this.note(`${this.nameOf(m.user_id)} ${joined ? "joined" : "left"}`, m.roomcast?.seq);
    if (m.user_id === this.pane.me && !joined) this.ended();
  }

  ended() {
    this.joined = false;
    this.status = "left";
    this.people.clear();
    this.entries.clear();
    this.exit();
    this.pane.show();
  }

  async join() {
    await this.pane.api.send("POST", `/api/rooms/${this.id}/join`).catch((e) => this.note(e.message));
    this.exit();
    this.enter();
    this.pane.show();
  }

  async leave() {
    await this.pane.api.send("POST", `/api/rooms/${this.id}/leave`).catch((e) => this.note(e.message));
  }

  /** @param {string} id */
  nameOf(id) {
    return id === this.pane.me ? "You" : this.names[id] ?? `${id.slice(0, 8)}…`;
  }

  /** A line in the middle. @param {string} text @param {number} [seq] */
  note(text, seq) {
    this.entries.set(`note-${crypto.randomUUID()}`, el("li", { className: "note" }, text,
      seq ? el("span", { className: "seq", textContent: `#${seq}` }) : null));
    this.pane.show();
  }

  /** @param {Message} m @param {boolean} [fresh] */
  bubble(m, fresh) {
    this.rows.set(m.id, m);
    const own = m.user_id === this.pane.me;
    const path = `/api/rooms/${this.id}/messages/${m.id}`;
    const bubble = el("li", { className: `message${own ? " own" : ""}${fresh ? " fresh" : ""}`, "data-id": m.id },
      el("p", { textContent: m.content ?? "…" }),
      this.reactionsOf(m.id),
      this.meta(m),
      own ? this.acts(m, path) : null);
    bubble.addEventListener("animationend", () => bubble.classList.remove("fresh"));
    return bubble;
  }

  /** Who, when, its number, and how it came. @param {Message} m */
  meta(m) {
    const time = new Date(m.created_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const seq = m.roomcast?.seq ?? this.deliveries.latest.get(m.id)?.seq;
    return el("div", { className: "meta" },
      el("span", { textContent: m.user_id === this.pane.me ? time : `${this.nameOf(m.user_id)}, ${time}` }),
      seq ? el("span", { className: "seq", title: "Number in this room", textContent: `#${seq}` }) : null,
      ...this.deliveries.chips(m.id).map(({ text, kind, title }) =>
        el("span", { className: `delay ${kind}`.trim(), title, textContent: text })));
  }

  /** Something more is known of how a message came. @param {string} id */
  redraw(id) {
    const m = this.rows.get(id);
    if (m) this.entries.get(id)?.querySelector(".meta")?.replaceWith(this.meta(m));
  }

  /** @param {Message} m @param {string} path */
  acts(m, path) {
    const failed = (/** @type {Error} */ e) => this.note(e.message);
    const edit = () => {
      const content = prompt("Edit message", m.content)?.trim();
      if (content) this.pane.api.send("PATCH", path, { content }).catch(failed);
    };
    return el("div", { className: "acts" },
      el("button", { type: "button", textContent: "Edit", onclick: edit }),
      el("button", { type: "button", textContent: "Delete", onclick: () => this.pane.api.send("DELETE", path).catch(failed) }));
  }

  elements() {
    if (this.status === "refused" || this.status === "left") {
      const left = this.status === "left";
      return [el("li", { className: left ? "refused left" : "refused" },
        icon(left ? door : lock),
        el("div", { role: "status" },
          el("h2", { textContent: left ? "You left this room" : "Refused" }),
          el("p", { textContent: left ? "Roomcast no longer lets you listen." : this.reason })),
        el("button", { type: "button", textContent: "Join room", onclick: () => this.join() }))];
    }
    return [...this.entries.values()];
  }
}
