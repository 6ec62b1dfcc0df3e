// How messages come to this page, counted since its last receipt: pushed, fetched and why,
// or by Supabase. functions/parity/delivery.go says what the counts mean.

import { bucket, delay, histogram } from './ledger.js'
import { isHidden } from './platform.js'
import type { Arrival } from './types.js'

export class DeliveryLedger {
  private counts = zero()
  private seen = new WeakSet<object>() // both sides may bring one message

  /** New messages only, each by the way it came first; and numbers that came by none. */
  see(arrival: Arrival) {
    const { side, event, how, numbers = 0 } = arrival
    if (how === 'void' || how === 'missing' || how === 'window') return void (this.counts[how] += numbers)
    if (event.name !== 'new-message' || how === 'again' || this.seen.has(event)) return
    this.seen.add(event)
    const way = side === 'supabase' ? 'supabase' : how ? why(arrival) : 'pushed'
    this.counts[way]++
    const at = bucket(delay(event.commit ?? event.data?.roomcast?.at))
    if (at === undefined || isHidden()) return // nobody looks at a hidden page
    this.counts.delays[at]++
    if (at >= LATE) this.counts[LATE_BY[way]]++
  }

  /** The counts, and zeros from now on; nothing if there are none. */
  take() {
    if (!this.isWaiting()) return
    const taken = this.counts
    this.counts = zero()
    return taken
  }

  isWaiting() {
    return Object.values(this.counts).flat().some((n) => n > 0)
  }
}

const LATE = 25 // the first bucket whose messages are late: four seconds
const LATE_BY = { pushed: 'latePushed', gap: 'lateGap', reconnect: 'lateReconnect', polled: 'latePolled', supabase: 'lateSupabase' } as const
const BACK = 10_000 // ms after a room is back in which what is fetched was missed meanwhile

/** Why a message was fetched: Pusher is away or refuses, the connection was cut, or a number was missing. */
function why({ status, live = 0 }: Arrival) {
  if (status !== 'live') return 'polled'
  return Date.now() - live < BACK ? 'reconnect' : 'gap'
}

const zero = () => ({
  pushed: 0, gap: 0, reconnect: 0, polled: 0, supabase: 0,
  latePushed: 0, lateGap: 0, lateReconnect: 0, latePolled: 0, lateSupabase: 0,
  void: 0, missing: 0, window: 0, delays: histogram(),
})
