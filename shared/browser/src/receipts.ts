// Receipts: counts what rooms see by which way, and sends the counts to POST /parity,
// which keeps them for the report (GET /parity). A module of its own:
//
//   import { createRoomcast } from 'roomcast'
//   import { sendReceipts } from 'roomcast/receipts'
//
//   const url = 'https://app.fly.dev'
//   const rooms = createRoomcast({ pusher, supabase, url, onSeen: sendReceipts({ url, supabase }) })
//
// While the page listens to both Supabase and Pusher, receipts say what each side brought.
// In every other mode a sample of the pages reports how messages come: pushed or fetched,
// and how late. Only new messages are counted, since not every edit, deletion and member
// comes by both sides. A receipt has numbers only. One is sent about once a minute for each
// room, less often when many pages report, and none if nothing happened. Counts that cannot
// be sent are kept, added up, and sent later; they are lost when the page is closed. A
// message is counted half a minute after the first side brought it, beginning with the first
// message that both have brought. functions/parity/receipt.go says what a receipt means.

import { DeliveryLedger } from './delivery.js'
import { Ledger } from './ledger.js'
import { fetchJSON } from './platform.js'
import { Session } from './session.js'
import type { Options, Arrival } from './types.js'

const GRACE = 30 // seconds after which the other side has missed an event
const MINUTE = 60 // how often a room tells, until the function asks for another pace
const LONGEST = 300 // between two tries

export interface SendOptions {
  /** The function's address, without a slash at the end. */
  url: string
  /** The app's own supabase-js 2, for its session. */
  supabase?: any
  /** Returns the user's access token, instead of supabase's; with renew, a newer one than the last. */
  token?: Options['token']
  /** Seconds between two receipts of a room, at least. Default 60. */
  every?: number
  /** Seconds after which a side has missed an event that the other one brought. Default 30. */
  grace?: number
  /** The share of pages that report after the move how messages come. Default 0.01; 0: none. */
  sample?: number
}

/** Returns the function to pass to createRoomcast as onSeen. */
export function sendReceipts(options: SendOptions): (arrival: Arrival) => void {
  const rooms = new Map<string, Reporter<Ledger>>()
  const isSampled = Math.random() < (options.sample ?? 0.01)
  let delivery: Reporter<DeliveryLedger> | undefined
  let session: Session | undefined // at the first arrival: nothing is asked where nothing happens
  return (arrival) => {
    const room = rooms.get(arrival.room)
    if (arrival.mode !== 'both') room?.ledger.forget()
    if (arrival.mode !== 'both' && !isSampled) return
    session ??= new Session(options as Options, () => {})
    if (arrival.mode !== 'both') {
      delivery ??= new Reporter(new DeliveryLedger(), { mode: 'delivery' }, options, session)
      return delivery.see(arrival)
    }
    if (!room) rooms.set(arrival.room, new Reporter(new Ledger(), { room: arrival.room, mode: 'both' }, options, session))
    rooms.get(arrival.room)!.see(arrival)
  }
}

interface Book {
  see(arrival: Arrival): void
  take(grace: number): object | undefined
  isWaiting(): boolean
}

/** Sends one ledger's counts for as long as there are any. */
class Reporter<L extends Book> {
  private page = randomID()
  private sent = 0
  private pace?: number // in seconds, as the function asked
  private running = false

  constructor(readonly ledger: L, private about: object, private options: SendOptions, private session: Session) {}

  see(arrival: Arrival) {
    this.ledger.see(arrival)
    if (this.ledger.isWaiting()) void this.run()
  }

  private async run() {
    if (this.running) return
    this.running = true
    const { every = MINUTE, grace = GRACE } = this.options
    do {
      await sleep(spread(this.pace ?? every))
      const counts = this.ledger.take(grace)
      if (!counts) continue
      const answer = await this.deliver(counts, ++this.sent)
      this.pace = answer?.every > MINUTE ? answer.every : every
    } while (this.ledger.isWaiting())
    this.running = false // nothing happens here: no timer either
  }

  // Sends one receipt until an answer says that it was taken or refused. When no answer
  // comes nobody knows: the same number makes the next try harmless.
  private async deliver(counts: object, n: number): Promise<any> {
    for (let wait = 4; ; wait = Math.min(LONGEST, wait * 2)) {
      try {
        return await this.post(counts, n)
      } catch (err: any) {
        if (err.status && err.status !== 429 && err.status < 500 && !err.expired) return
        await sleep(spread(Math.max(wait, (err.retryAfter ?? 0) / 1000)))
      }
    }
  }

  private async post(counts: object, n: number) {
    const token = await this.session.token()
    try {
      return await this.attempt(counts, n, token)
    } catch (err: any) {
      const newer = err.status === 401 && await this.session.renew(token)
      if (!newer) throw Object.assign(err, { expired: err.status === 401 }) // there will be a newer one
      return this.attempt(counts, n, newer)
    }
  }

  private async attempt(counts: object, n: number, token?: string) {
    const receipt = { ...this.about, ...counts, page: this.page, n, until: Date.now() }
    const answer = await fetchJSON(this.options.url + '/parity', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: 'Bearer ' + token },
      body: JSON.stringify(receipt),
    })
    if (token) this.session.accepted(token)
    return answer
  }
}

/** Up to half as long again, in ms: many pages must not come at once. */
const spread = (seconds: number) => seconds * (1000 + 500 * Math.random())

/** In Node a receipt that waits keeps no program running. */
const sleep = (ms: number) => new Promise((done) => (Object(setTimeout(done, ms)) as any).unref?.())

/** A random uuid: Hermes has no crypto.randomUUID. It need not be secret. */
function randomID() {
  return globalThis.crypto?.randomUUID?.() ?? 'xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx'.replace(/x/g, () => Math.floor(Math.random() * 16).toString(16))
}
