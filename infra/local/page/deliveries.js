// @ts-check
// How each event of a room came: by which way, how long after its commit, and which way
// did not bring it. roomcast.js tells by its onSeen; one change is one `event` for both.

import { figures } from "./figures.js";

/** How long after the first way the other one may come, in ms. */
const grace = 5000;

/**
 * @typedef {{ms: number, how?: string}} Delivery
 * @typedef {{seq?: number, pusher?: Delivery, supabase?: Delivery, missed?: "pusher" | "supabase"}} Record
 */

export class Deliveries {
  /** @param {(id: string) => void} changed called with the id of a row that has something new */
  constructor(changed) {
    this.changed = changed;
    this.records = /** @type {WeakMap<object, Record>} */ (new WeakMap());
    this.latest = /** @type {Map<string, Record>} */ (new Map());
  }

  /** @param {{mode: string, side: "pusher" | "supabase", event: any, how?: string}} arrival */
  see({ mode, side, event, how }) {
    if (how === "again") return figures.repeat();
    if (!event.data) return; // a number without an event
    const id = event.data.id;
    const record = this.records.get(event) ?? this.begin(event, id, mode);
    record.seq ??= event.seq;
    if (record[side]) return;
    const ms = Math.max(0, performance.timeOrigin + performance.now() - Date.parse(event.commit ?? event.data.roomcast?.at));
    record[side] = { ms, how };
    if (record.missed === side) record.missed = undefined; // it was only late
    if (!how && !Number.isNaN(ms)) figures.delay(side, ms);
    this.changed(id);
  }

  /** @param {object} event @param {string} id @param {string} mode */
  begin(event, id, mode) {
    const record = /** @type {Record} */ ({});
    this.records.set(event, record);
    this.latest.set(id, record);
    figures.event();
    // Of a deletion Supabase tells only with replica identity full, of members never.
    if (mode === "both" && /^(new-message|message-updated)$/.test(event.name)) setTimeout(() => this.judge(record, id), grace);
    return record;
  }

  /** @param {Record} record @param {string} id */
  judge(record, id) {
    record.missed = !record.pusher ? "pusher" : !record.supabase ? "supabase" : undefined;
    if (record.missed) this.changed(id);
  }

  /** The chips beside a message. @param {string} id @returns {{text: string, kind: string, title: string}[]} */
  chips(id) {
    const record = this.latest.get(id);
    if (!record) return [];
    const chips = [];
    for (const side of /** @type {const} */ (["pusher", "supabase"])) {
      const name = side === "pusher" ? "Pusher" : "Supabase";
      const came = record[side];
      if (came?.how === "fetched") {
        chips.push({ text: `fetched ${duration(came.ms)}`, kind: "fetched", title: "Missed by the connection, asked for after it was back" });
      } else if (came) {
        chips.push({ text: `${name} ${duration(came.ms)}`, kind: came.ms > 1000 ? "slow" : "", title: `From commit to this page, by ${name}` });
      } else if (record.missed === side) {
        chips.push({ text: `${name} missed it`, kind: "missed", title: `${name} did not bring this message` });
      }
    }
    return chips;
  }
}

/** @param {number} ms */
function duration(ms) {
  if (Number.isNaN(ms)) return "";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
