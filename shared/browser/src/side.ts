// What Supabase brings to one room. Pusher's events and the history's carry a number,
// Supabase's carry none: they are shown at once while its stream is in step with the
// numbers, and wait up to two seconds otherwise.

import type { Entry } from './feed.js'
import { bySupabase, pairFor } from './pairing.js'
import { jitter, STREAM_PATIENCE, Timers } from './platform.js'
import type { RoomState } from './room.js'
import { Stream } from './stream.js'

const SPREAD = 120 // ms
const UNFETCHED = 100 // events after which the numbers are asked for, else a reconnect would ask for all

export class Side {
  private stream?: Stream
  private streams = { last: 0 }
  private timers = new Timers()
  private pending: Entry[] = [] // without a place yet
  private synced?: number // the stream whose events the numbers have caught up with
  private alone = false // Roomcast is away: Supabase's events are shown as they come
  private unfetched = 0

  constructor(private room: RoomState) {}

  /** Changes flow. */
  get isLive() {
    return !!this.stream?.isLive
  }

  /** Listens to Supabase where the room needs it, and ends that once Pusher is heard. */
  open() {
    const { room } = this
    if (!this.isWanted()) {
      if (room.isSubscribed() && room.isPlaced()) this.close()
    } else if (room.isPlaced()) this.start()
    else this.timers.start('stream', STREAM_PATIENCE, () => this.start())
  }

  /** Listens at once: it is known where the room is, or that does not come. */
  start() {
    const { room } = this
    if (this.stream || !this.isWanted() || room.isOver()) return
    this.stream = new Stream(room.context.options, room.id, this.streams, {
      live: () => room.sourceLive(),
      event: (name, row, commit, number) => this.witness(name, row, commit, number),
    })
  }

  close() {
    this.timers.cancel('stream')
    this.stream?.close()
    this.stream = undefined
  }

  /** Ends all that goes on by itself. */
  stop() {
    this.close()
    this.timers.cancelAll()
  }

  /** What waits for its place waits longer: the history will be asked. */
  renew() {
    this.timers.cancel('patience')
  }

  /** Roomcast is there. */
  heard() {
    this.alone = false
  }

  /** What Supabase has brought of this change. */
  pair(name: string, data: any) {
    return pairFor(this.room.feed, name, data)
  }

  shown(entry: Entry) {
    if (entry.seq && entry.stream) this.synced = entry.stream
  }

  /** The history has answered. */
  fetched() {
    this.unfetched = 0
    this.flush()
  }

  /** Shows what Supabase brought, if it is in order or has waited long enough. */
  flush(late = false) {
    this.alone ||= late
    if (!this.pending.length) return
    if (this.alone || this.isInStep()) {
      this.timers.cancel('patience')
      for (const entry of this.pending.splice(0)) if (this.alone || !entry.seq) this.room.feed.show(entry)
    } else {
      this.room.ask(jitter(SPREAD))
      this.timers.start('patience', STREAM_PATIENCE, () => this.flush(!this.stream || this.isLive)) // only Roomcast may be away
    }
  }

  /** The app loads its page again, which has all that waited. */
  drop() {
    for (const entry of this.pending.splice(0)) entry.shown = true
  }

  /** Another user. */
  clear() {
    this.synced = undefined
  }

  private isWanted() {
    return this.room.mode !== 'pusher' || this.room.context.health.isSubstituted
  }

  private witness(name: string, row: any, commit: string, stream: number) {
    const { room } = this
    const entry = bySupabase(room.feed, name, row, commit, stream)
    if (entry) this.place(entry, stream)
    else room.saw('supabase', { name }, 'again')
    room.settle()
  }

  private place(entry: Entry, stream: number) {
    this.room.saw('supabase', entry)
    if (!entry.seq) this.pending.push(entry)
    else if (entry.shown) this.synced = stream // it has come as far as the numbers
    if (++this.unfetched > UNFETCHED) this.room.ask(0)
    this.flush()
  }

  private isInStep() {
    const { sequence } = this.room.feed
    return sequence.next !== undefined && !sequence.hasGap() && !this.room.isAsking() &&
      this.pending.every((entry) => entry.seq || entry.stream === this.synced)
  }
}
