// What one room has seen since its last receipt, by which side.

import type { Arrival } from './types.js'

const MOST = 2000 // events that wait for their other half
const BUCKETS = 32 // of a histogram; bucket i holds delays up to 2^(i/2) ms

type Side = Arrival['side']
type Event = Arrival['event']
type Brought = number | 'fetched' | 'untimed'

/** An event's way so far. */
interface Way {
  since: number
  pusher?: Brought
  supabase?: Brought
  order?: number // among Supabase's
}

export type Counts = ReturnType<typeof zero>

export class Ledger {
  private waiting = new Map<Event, Way>() // with something to come
  private told = new WeakSet<Event>() // done with
  private fetched = new Map<number, Event>() // of those waiting, by seq: Pusher may only be late
  private counts = zero()
  private compared = false
  private last: { seq?: number; order?: number } = {}
  private arrived = 0

  // Of new messages only, which both sides should bring. Realtime tells nothing of
  // members, and of deletions only with replica identity full; Roomcast tells nothing of
  // an edit that changes no attached column.
  see({ side, event, how }: Arrival) {
    if (event.name !== 'new-message') return
    if (how === 'again') return this.again(side, event)
    if (this.told.has(event)) return
    const way = this.waiting.get(event) ?? { since: Date.now() }
    this.waiting.set(event, way)
    if (way[side]) return
    way[side] = how === 'fetched' ? how : delay(event.commit ?? event.data?.roomcast?.at)
    if (how) this.fetched.set(event.seq!, event)
    if (side === 'supabase') way.order = ++this.arrived
    this.brought(event, way)
    // Under such a load the oldest goes untold: a sample will do.
    if (this.waiting.size > MOST) this.pass(this.waiting.keys().next().value!)
  }

  /** The counts, and zeros from now on; nothing if there are none. */
  take(grace: number): Counts | undefined {
    for (const [event, way] of this.waiting) {
      if (Date.now() - way.since < grace * 1000) continue
      if (this.compared) this.tell(way.pusher && way.supabase ? 'both' : way.pusher ? 'pusher' : 'supabase', event, way)
      else this.pass(event)
    }
    if (!this.isCounted()) return
    const taken = this.counts
    this.counts = zero()
    return taken
  }

  /** Another mode: what one side brings from now on is not missed by the other. */
  forget() {
    for (const event of this.waiting.keys()) this.pass(event)
    this.compared = false
  }

  isWaiting() {
    return this.waiting.size > 0 || this.isCounted()
  }

  private isCounted() {
    return Object.values(this.counts).flat().some((n) => n > 0)
  }

  private again(side: Side, { seq, at }: Event) {
    const event = side === 'pusher' && this.fetched.get(seq!)
    if (!event) {
      this.counts[`${side}Repeats`]++
      return
    }
    this.fetched.delete(seq!)
    const way = this.waiting.get(event)!
    way.pusher = delay(at)
    this.brought(event, way)
  }

  private brought(event: Event, way: Way) {
    if (way.pusher && way.supabase && way.pusher !== 'fetched') this.match(event, way)
  }

  // Counting begins with the first event that both have brought: until then one of them
  // was only being opened.
  private match(event: Event, way: Way) {
    if (!this.compared) for (const [other, { since }] of this.waiting) if (since < way.since) this.pass(other)
    this.compared = true
    if ((event.seq! - this.last.seq!) * (way.order! - this.last.order!) < 0) this.counts.flips++
    this.last = { seq: event.seq, order: way.order }
    this.tell('both', event, way)
  }

  private tell(as: 'both' | Side, event: Event, way: Way) {
    this.counts[as]++
    if (way.pusher === 'fetched') this.counts.fetched++
    for (const side of ['pusher', 'supabase'] as const) {
      const at = bucket(way[side])
      if (at !== undefined) this.counts[`${side}Delays`][at]++
    }
    this.pass(event)
  }

  private pass(event: Event) {
    this.waiting.delete(event)
    this.fetched.delete(event.seq!)
    this.told.add(event)
  }
}

/** A delay's place in a histogram; undefined if it is none: not brought, or not timed. */
export function bucket(ms: unknown) {
  const place = Math.ceil(2 * Math.log2(ms as number))
  return place >= 0 ? Math.min(BUCKETS - 1, place) : undefined
}

export const histogram = (): number[] => Array(BUCKETS).fill(0)

/** In ms, by this machine's clock; text where it cannot be told. */
export const delay = (commit?: string) => Math.max(1, Date.now() - Date.parse(commit ?? '')) || 'untimed'

function zero() {
  return {
    both: 0, pusher: 0, supabase: 0, fetched: 0, pusherRepeats: 0, supabaseRepeats: 0, flips: 0,
    pusherDelays: histogram(), supabaseDelays: histogram(),
  }
}
