// The order of a room's numbered events. `next` is shown and nothing else: lower numbers
// are repeats, higher ones are held while a fetch fills the gap.

import type { Entry } from './feed.js'
import type { Position } from './types.js'

const MOST_HELD = 2000 // what comes beyond is fetched later
const REMEMBERED = 1000 // numbers whose time is known
const LATE = 5000 // ms by which numbers may lie out of the order of time

export class Sequence {
  epoch?: string
  /** Undefined until it is known where the room starts. */
  next?: number
  /** How many entries have been held so far. */
  count = 0
  private held = new Map<string, Entry>()
  private times = new Map<number, number>() // when what was shown under a number was written
  private newest = 0

  /** isVoid is told a number under which the history has nothing. */
  constructor(private show: (entry: Entry) => void, private isVoid: (seq: number) => void) {}

  /**
   * What a pushed number is: 'new', a 'repeat', or 'reused': it was given to something
   * later, since the numbers went back (a restore that kept the epoch).
   */
  judge(at: Position): 'new' | 'repeat' | 'reused' {
    if (this.held.has(place(at))) return 'repeat'
    if (this.next === undefined || at.epoch !== this.epoch || at.seq >= this.next) return 'new'
    const written = Date.parse(at.at ?? ''), known = this.times.get(at.seq)
    const later = known !== undefined ? written > known : this.newest > 0 && written > this.newest + LATE
    return later ? 'reused' : 'repeat'
  }

  heldAt(at: Position) {
    return this.held.get(place(at))
  }

  hold(entry: Entry, at: Position) {
    if (this.next !== undefined) this.epoch ||= at.epoch
    if (this.held.size >= MOST_HELD) return
    entry.turn = ++this.count
    this.held.set(place(at), entry)
  }

  /** Something is held that cannot be shown yet. */
  hasGap() {
    return this.held.size > 0
  }

  /** How many numbers are missing before what is held, in a gap; a stub is one. */
  gap() {
    return Math.max(1, Math.min(...[...this.held.values()].map(({ seq }) => seq!)) - this.next!)
  }

  /** Shows what is next, up to a gap or a stub; up to `last`, a missing number is void. */
  advance(last = 0) {
    for (; this.next !== undefined; this.next++) {
      const at = { epoch: this.epoch, seq: this.next }, entry = this.held.get(place(at))
      const waits = entry && !entry.shown && !entry.fetched && entry.data.roomcast.stub
      if (entry ? waits : this.next > last) return
      this.held.delete(place(at))
      if (!entry) this.isVoid(this.next)
      else {
        this.remember(entry)
        this.show(entry)
      }
    }
  }

  /** Starts behind head, or with what was pushed before head was known. */
  start(epoch: string | undefined, head: number) {
    const early = [...this.held.values()].map((entry) => entry.data.roomcast as Position)
    this.epoch = epoch || early[0]?.epoch
    this.next = Math.min(head + 1, ...early.filter((at) => at.epoch === this.epoch).map((at) => at.seq))
  }

  /** Goes on with another number: what was shown counts no more. */
  restart(epoch?: string, next?: number) {
    this.epoch = epoch
    this.next = next
    this.times.clear()
    this.newest = 0
  }

  /**
   * Forgets what is held and can never be next: lower numbers, and those of other epochs
   * that were held when the history was asked. Later ones may be of an epoch to come.
   */
  prune(known: number) {
    for (const [key, { data, turn }] of this.held) {
      const { epoch, seq } = data.roomcast
      const isPast = epoch === this.epoch ? seq < this.next! : turn! <= known
      if (this.epoch && isPast) this.held.delete(key)
    }
  }

  clear() {
    this.held.clear()
  }

  private remember({ seq, data }: Entry) {
    const written = Date.parse(data.roomcast?.at ?? '')
    if (Number.isNaN(written)) return
    this.times.set(seq!, written)
    this.newest = Math.max(this.newest, written)
    if (this.times.size > REMEMBERED) this.times.delete(this.times.keys().next().value!)
  }
}

const place = ({ epoch, seq }: Position) => epoch + '/' + seq
