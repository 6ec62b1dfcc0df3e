// How messages come to this page, counted since its last receipt: pushed, fetched and why,
// or by Supabase. functions/parity/delivery.go says what the counts mean.

import { bucket, delay, histogram } from './ledger.js'
import { isHidden } from './platform.js'
import type { Arrival } from './types.js'

export class DeliveryLedger {
  private counts = zero()
  private seen = new WeakSet<object>() // both sides may bring one message

  /** New messages only, each by the way it came first. */
  see(arrival: Arrival) {
    const { side, event, how } = arrival
    if (event.name !== 'new-message' || how === 'again' || this.seen.has(event)) return
    this.seen.add(event)
    this.counts[side === 'supabase' ? 'supabase' : how ? why(arrival) : 'pushed']++
    const at = bucket(delay(event.commit ?? event.data?.roomcast?.at))
    if (at !== undefined && !isHidden()) this.counts.delays[at]++ // nobody looks at a hidden page
  }

  /** The counts, and zeros from now on; nothing if there are none. */
  take() {
    if (!this.isWaiting()) return
    const taken = this.counts
    this.counts = zero()
    return taken
  }

  isWaiting() {
    const { pushed, gap, reconnect, polled, supabase } = this.counts
    return pushed + gap + reconnect + polled + supabase > 0
  }
}

const BACK = 10_000 // ms after a room is back in which what is fetched was missed meanwhile

/** Why a message was fetched: Pusher is away or refuses, the connection was cut, or a number was missing. */
function why({ status, live = 0 }: Arrival) {
  if (status !== 'live') return 'polled'
  return Date.now() - live < BACK ? 'reconnect' : 'gap'
}

const zero = () => ({ pushed: 0, gap: 0, reconnect: 0, polled: 0, supabase: 0, missing: 0, delays: histogram() })
