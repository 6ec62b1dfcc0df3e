// One room's events: those by Pusher and from the history, which carry a number (see
// Sequence); while both systems run, Supabase's side adds its own (see side.ts).

import { Sequence } from './sequence.js'
import type { Side } from './side.js'
import type { Loss } from './types.js'

/** A change of the room, as the client keeps it. */
export interface Entry {
  /** What identifies the row. */
  id: unknown
  name: string
  data: any
  seq?: number
  /** Supabase's commit timestamp. */
  commit?: string
  /** Which of Supabase's streams brought it. */
  stream?: number
  pusher?: boolean
  supabase?: boolean
  fetched?: boolean
  /** Its place among all that were held. */
  turn?: number
  shown?: boolean
}

const MOST = 1000 // entries kept

/** The room, as its events see it. */
export interface Outlet {
  readonly side?: Side
  show(entry: Entry): void
  saw(side: 'pusher', event: Partial<Entry> & { name: string; at?: string }, how?: 'fetched' | 'again'): void
  /** Numbers from seq on came by no way. */
  lost(how: Loss, seq: number, numbers?: number): void
}

export class Feed {
  readonly sequence = new Sequence((entry) => this.show(entry), (seq) => this.outlet.lost('void', seq))
  /** The latest changes: the other side may bring them, too. */
  readonly entries: Entry[] = []

  constructor(readonly key: (row: any) => unknown, private outlet: Outlet) {}

  /** An event by Pusher or from the history. Returns true if its number was given before, to something older. */
  take(name: string, data: any, fetched = false): boolean {
    const at = data.roomcast
    this.outlet.side?.heard()
    if (!at) {
      this.show(this.enter(name, data)) // forward-only mode has no numbers
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
    const entry = this.sequence.heldAt(at) ?? this.enter(name, data)
    if (!at.stub) Object.assign(entry, { name, data })
    entry.seq = at.seq
    entry.fetched ||= fetched // a stub in the history stays one
    this.sequence.hold(entry, at)
    this.outlet.saw('pusher', entry, fetched ? 'fetched' : undefined)
  }

  private enter(name: string, data: any): Entry {
    const entry = this.outlet.side?.pair(name, data) ?? this.add(name, data)
    entry.pusher = true
    return entry
  }

  add(name: string, data: any): Entry {
    const entry: Entry = { id: this.key(data), name, data }
    this.entries.push(entry)
    if (this.entries.length > MOST) this.entries.shift()
    return entry
  }

  /** Has anything come of this row? */
  knows(id: unknown) {
    return this.entries.some((entry) => entry.id === id)
  }

  show(entry: Entry) {
    this.outlet.side?.shown(entry)
    if (entry.shown) return
    entry.shown = true
    this.outlet.show(entry)
  }

  clear() {
    this.entries.length = 0
    this.sequence.clear()
  }
}
