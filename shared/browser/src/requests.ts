// All requests to the function. While it answers they go at once. When it fails, one
// request at a time tries again, later and later, and all others wait for that one:
// neither many rooms nor many kinds of request make a storm.

import type { Context } from './context.js'
import { backoff, failure, fetchJSON, jitter, now, type Failure } from './platform.js'

const MINUTE = 60_000
const AGAIN = 2_000 // ms at least between two tries, whatever happens

/** One request, as it is to be sent when its turn comes. */
export interface Ask {
  path: string
  init?: RequestInit
  /** Does the answer make sense? One that does not is a failure. */
  check: (answer: any) => boolean
  /** Without a token. */
  open?: boolean
  patience?: number
}

export const roomPath = (id: string) => '/rooms/' + encodeURIComponent(id)

/** A body for POST. */
export const posted = (body: object | string, type = 'application/json'): RequestInit =>
  ({ method: 'POST', headers: { 'Content-Type': type }, body: typeof body === 'string' ? body : JSON.stringify(body) })

/** Answers that say something about the request, and not that the function is unwell. */
export const isRefusal = (err: { status?: number }) => [400, 403, 404, 409].includes(err.status!)

export class Requests {
  /** In a row, until the function answers again. */
  failures = 0
  private refusedTokens = 0 // in a row
  private failedAt = 0
  private opensAt = 0
  private probing = false
  private waiting: (() => void)[] = []
  private timer?: ReturnType<typeof setTimeout>

  constructor(private context: Context) {}

  /** Sends what build returns when its turn comes; undefined if that is nothing any more. */
  async send(build: () => Ask | undefined): Promise<any> {
    if (this.failures) await this.turn()
    const ask = this.written(build), probe = this.failures > 0
    if (!ask) return
    const began = now()
    try {
      const answer = await this.exchange(ask)
      if (!ask.check(answer)) throw failure('an answer without sense from ' + ask.path)
      this.succeeded()
      return answer
    } catch (err: any) {
      if (isRefusal(err)) this.succeeded()
      else this.failed(err, began, probe)
      throw err
    }
  }

  /** Something may have changed, such as the network: the next try need not wait as long. */
  retry() {
    this.opensAt = Math.min(this.opensAt, this.failedAt + AGAIN)
    this.schedule()
  }

  /** What is to be sent; if that is nothing, or cannot be written, it is the next one's turn. */
  private written(build: () => Ask | undefined): Ask | undefined {
    let ask
    try {
      return ask = build()
    } finally {
      if (!ask) this.pass()
    }
  }

  private async exchange(ask: Ask): Promise<any> {
    const { session, options: { url } } = this.context
    if (ask.open) return fetchJSON(url + ask.path, ask.init ?? {}, ask.patience)
    const attempt = async (token: string | undefined) => {
      if (!token) throw failure('nobody is signed in', 401)
      const headers = { ...ask.init?.headers, Authorization: 'Bearer ' + token }
      const answer = await fetchJSON(url + ask.path, { ...ask.init, headers }, ask.patience)
      session.accepted(token)
      return answer
    }
    const token = await session.token()
    try {
      return await attempt(token)
    } catch (err: any) {
      const mayRenew = err.status === 401 && (!this.context.isSparing() || session.wasAccepted(token))
      const newer = mayRenew && await session.renew(token)
      if (!newer) throw err
      return attempt(newer)
    }
  }

  private turn(): Promise<void> {
    return new Promise((go) => {
      this.waiting.push(go)
      this.schedule()
    })
  }

  private schedule() {
    clearTimeout(this.timer)
    if (this.probing || !this.waiting.length) return
    this.timer = setTimeout(() => this.probe(), Math.max(0, this.opensAt - now()))
  }

  private probe() {
    const next = this.waiting.shift()
    if (!next) return
    this.probing = true
    next()
  }

  /** The request whose turn it was is not needed any more. */
  private pass() {
    this.probing = false
    this.schedule()
  }

  private succeeded() {
    const recovered = this.failures > 0
    this.failures = this.refusedTokens = 0
    this.probing = false
    for (const go of this.waiting.splice(0)) go()
    if (recovered) this.context.requestsSettled()
  }

  private failed(err: Failure, began: number, probe: boolean) {
    // Requests that were under way together fail once.
    if (probe || !this.failures || began > this.failedAt) {
      this.failures++
      this.opensAt = now() + Math.max(this.pause(err), Math.min(MINUTE, err.retryAfter ?? 0))
    }
    this.failedAt = now()
    if (probe) this.probing = false
    this.schedule()
    this.context.requestsSettled(err)
  }

  private pause(err: Failure) {
    if (err.status === 401) return jitter(MINUTE) + Math.min(10, this.refusedTokens++) * MINUTE
    if (this.context.isSparing()) return MINUTE + jitter(MINUTE / 10)
    return backoff(this.failures - 1)
  }
}
