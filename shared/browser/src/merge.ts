// One room's events out of what Pusher, the history and Supabase bring. Pusher's and the
// history's carry a number, see Sequence. Supabase's carry none: they are shown at once
// while its stream is in step with the numbers, and wait up to two seconds otherwise.

import { jitter } from './platform.js'
import { Pairs, type Entry } from './pairing.js'
import { Sequence } from './sequence.js'
import type { Loss } from './types.js'

export const STREAM_PATIENCE = 2000 // ms a Supabase event waits for its place
const SPREAD = 120 // ms
const UNFETCHED = 100 // events after which the numbers are asked for, else a reconnect would ask for all

export interface Outlet {
  show(entry: Entry): void
  saw(side: 'pusher' | 'supabase', event: Partial<Entry> & { name: string; at?: string }, how?: 'fetched' | 'again'): void
  /** Numbers from seq on came by no way. */
  lost(how: Loss, seq: number, numbers?: number): void
  /** Asks the history in ms. */
  ask(ms: number): void
  isAsking(): boolean
  /** Calls late() in STREAM_PATIENCE, unless that waits already. */
  wait(late: () => void): void
  waited(): void
  isStreamLive(): boolean
}

export class Merge {
  readonly sequence = new Sequence((entry) => this.show(entry), (seq) => this.outlet.lost('void', seq))
  private pairs: Pairs
  private pending: Entry[] = [] // Supabase's, without a place yet
  private synced?: number // the stream whose events the numbers have caught up with
  private alone = false // Roomcast is away: Supabase's events are shown as they come
  private unfetched = 0

  constructor(key: (row: any) => unknown, private outlet: Outlet) {
    this.pairs = new Pairs(key)
  }

  /** An event by Pusher or from the history. Returns true if its number was given before, to something older. */
  take(name: string, data: any, fetched = false): boolean {
    const at = data.roomcast
    this.alone = false
    if (!at) {
      this.show(this.pairs.byPusher(name, data)) // forward-only mode has no numbers
      return false
    }
    const judged = fetched ? 'new' : this.sequence.judge(at)
    if (judged === 'reused') return true
    if (judged === 'repeat') this.outlet.saw('pusher', { ...at, name }, 'again')
    else this.place(name, data, fetched)
    return false
  }

  private place(name: string, data: any, fetched: boolean) {
    const at = data.roomcast
    const entry = this.sequence.heldAt(at) ?? this.pairs.byPusher(name, data)
    if (!at.stub) Object.assign(entry, { name, data })
    entry.seq = at.seq
    entry.fetched ||= fetched // a stub in the history stays one
    this.sequence.hold(entry, at)
    this.outlet.saw('pusher', entry, fetched ? 'fetched' : undefined)
  }

  /** An event by Supabase, of the stream with this number. */
  witness(name: string, row: any, commit: string, stream: number) {
    const entry = this.pairs.bySupabase(name, row, commit, stream)
    if (!entry) return this.outlet.saw('supabase', { name }, 'again')
    this.outlet.saw('supabase', entry)
    if (!entry.seq) this.pending.push(entry)
    else if (entry.shown) this.synced = stream // it has come as far as the numbers
    if (++this.unfetched > UNFETCHED) this.outlet.ask(0)
    this.flush()
  }

  /** Shows what Supabase brought, if it is in order or has waited long enough. */
  flush(late = false) {
    this.alone ||= late
    if (!this.pending.length) return
    if (this.alone || this.isInStep()) {
      this.outlet.waited()
      for (const entry of this.pending.splice(0)) if (this.alone || !entry.seq) this.show(entry)
    } else {
      this.outlet.ask(jitter(SPREAD))
      this.outlet.wait(() => this.flush(this.outlet.isStreamLive())) // only Roomcast may be away
    }
  }

  /** The history has answered. */
  fetched() {
    this.unfetched = 0
  }

  knows(id: unknown) {
    return this.pairs.knows(id)
  }

  /** The app loads its page again, which has all that waited. */
  drop() {
    for (const entry of this.pending.splice(0)) entry.shown = true
  }

  clear() {
    this.pairs.clear()
    this.sequence.clear()
    this.synced = undefined
  }

  private isInStep() {
    const { sequence, outlet } = this
    return sequence.next !== undefined && !sequence.hasGap() && !outlet.isAsking() &&
      this.pending.every((entry) => entry.seq || entry.stream === this.synced)
  }

  private show(entry: Entry) {
    if (entry.seq && entry.stream) this.synced = entry.stream
    if (entry.shown) return
    entry.shown = true
    this.outlet.show(entry)
  }
}
