// What engines differ in. React Native's Hermes has no AbortSignal.timeout, and may lack
// atob, document and window events; Node has no document. Nothing here runs at import.

/** How long anything may take that somebody else does: a request, a token. */
export const PATIENCE = 10_000

/** How long a room waits for its place in the order, and an event of Supabase's for its own. */
export const STREAM_PATIENCE = 2_000

let latest = 0, behind = 0

/** The time, for what is due later: sleep counts, and it never goes back when the machine's clock does. */
export function now() {
  behind = Math.max(behind, latest - Date.now())
  return latest = Date.now() + behind
}

/** Between half and one and a half of so many ms: many pages must not come at once. */
export const jitter = (ms: number) => ms * (0.5 + Math.random())

/** How long to wait after so many tries, in ms. */
export const backoff = (tries: number, longest = 60_000) => jitter(Math.min(longest, 500 * 2 ** Math.min(tries, 20)))

export const isHidden = () => (globalThis as any).document?.hidden === true

/** What went wrong, with its HTTP status if it had one. */
export interface Failure extends Error {
  status?: number
  retryAfter?: number // ms
}

export const failure = (text: string, status?: number, retryAfter?: number): Failure => Object.assign(new Error('roomcast: ' + text), { status, retryAfter })

/** The result of work, or a rejection after ms: a promise of somebody else's may never settle. */
export function bounded<T>(work: Promise<T> | T, ms = PATIENCE): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(failure(`no answer within ${ms} ms`)), ms)
    Promise.resolve(work).then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** fetch and read as JSON, within ms in all. Rejects with `status` and `retryAfter` (ms) for all but 2xx. */
export async function fetchJSON(url: string, init: RequestInit, ms = PATIENCE): Promise<any> {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(), ms)
  try {
    return await bounded(readJSON(url, { ...init, signal: abort.signal }), ms + 100)
  } finally {
    clearTimeout(timer)
  }
}

async function readJSON(url: string, init: RequestInit) {
  const response = await fetch(url, init)
  const { ok, status } = response
  if (ok) return status === 204 ? undefined : response.json()
  throw failure(`status ${status}`, status, Number(response.headers.get('Retry-After')) * 1000 || 0)
}

/** A user's id from an access token, which the function verifies; null if it is none. */
export function userOf(token?: string | null): string | null {
  try {
    return JSON.parse(fromBase64(token!.split('.')[1])).sub ?? null
  } catch {
    return null
  }
}

/** Base64url to one character for each byte: enough to read a token's ids. */
function fromBase64(text: string) {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  let out = '', bits = 0, held = 0
  for (const c of text.replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')) {
    held = held << 6 | digits.indexOf(c)
    bits += 6
    if (bits < 8) continue
    bits -= 8
    out += String.fromCharCode(held >> bits & 255)
  }
  return out
}

/** Calls an app's function; what it throws is the app's, and is told like any uncaught error. */
export function callApp<T>(fn: () => T): T | undefined {
  try {
    return fn()
  } catch (err) {
    const report = (globalThis as any).reportError ?? console.error
    report(err)
  }
}

/** Calls fn when the page may have missed something; returns what ends that. */
export const onPageReturns = (fn: () => void) => listen(['online', 'pageshow', 'visibilitychange'], fn)

/** Calls fn whenever the user does something on the page; returns what ends that. */
export const onTouch = (fn: () => void) => listen(['focus', 'pointerdown', 'keydown'], fn)

function listen(names: string[], fn: () => void) {
  for (const name of names) globalThis.addEventListener?.(name, fn)
  return () => {
    for (const name of names) globalThis.removeEventListener?.(name, fn)
  }
}

/** Timers with a name for each purpose: one at a time for each, and all end together. */
export class Timers {
  private running = new Map<string, ReturnType<typeof setTimeout>>()
  private ended = false

  /** Runs fn in ms, unless this purpose waits already. */
  start(purpose: string, ms: number, fn: () => void) {
    if (this.ended || this.running.has(purpose)) return
    this.running.set(purpose, setTimeout(() => {
      this.running.delete(purpose)
      fn()
    }, ms))
  }

  has(purpose: string) {
    return this.running.has(purpose)
  }

  cancel(purpose: string) {
    clearTimeout(this.running.get(purpose))
    this.running.delete(purpose)
  }

  cancelAll() {
    for (const purpose of [...this.running.keys()]) this.cancel(purpose)
  }

  end() {
    this.ended = true
    this.cancelAll()
  }
}
