// Which way each room's messages come: the app's own choice, or the function's plan
// (CLIENT_MODE, GET /roomcast.json; shared/browser/plan.go says what is in it). Where
// Supabase may bring some, its side of the client is loaded: see move.ts. Until that is
// here, and as long as it cannot be loaded, all rooms go by Pusher, the history and polling,
// which are in the first module: no page is silent for want of the second.

import { backoff, Timers } from './platform.js'
import type { Requests } from './requests.js'
import type { Mode } from './types.js'

const MINUTE = 60_000
const PATIENCE = 2_000 // ms a room waits for the plan

export interface Answer {
  mode: Mode
  share?: Partial<Record<Mode, number>>
  rooms?: Record<string, Mode>
}

type Move = typeof import('./move.js')

const isMode = (mode: any) => ['pusher', 'both', 'supabase'].includes(mode)

export class Plan {
  /** Supabase's side, once it is loaded. */
  move?: Move
  private answer: Answer
  private asked = 0 // when
  private ready: Promise<unknown>
  private failures = 0 // to load, in a row
  private timers = new Timers()

  constructor(private requests: Requests, public forced: Mode | undefined, private hasSupabase: boolean, private identify: () => Promise<unknown>, private changed: () => void) {
    this.answer = { mode: hasSupabase ? 'both' : 'pusher' }
    this.ready = this.prepare()
  }

  /** Resolves when rooms may go by the plan: it is known, or does not come. */
  refresh(): Promise<unknown> {
    if (this.forced || Date.now() - this.asked < MINUTE) return this.ready
    this.asked = Date.now()
    return this.ready = soon(this.fetch())
  }

  force(mode?: Mode) {
    this.forced = mode
    this.asked = 0
    this.ready = this.prepare()
  }

  modeOf(room: string, user?: string | null): Mode {
    return this.move ? this.forced ?? this.move.modeOf(this.answer, room, user) : 'pusher'
  }

  /** May Supabase bring messages, or step in where Pusher is away? While it serves some of this chat's pages. */
  usesSupabase() {
    if (!this.hasSupabase || this.forced === 'pusher') return false
    const { mode, share, rooms } = this.answer
    const modes = [this.forced ?? mode, ...Object.keys(share ?? {}), ...Object.values(rooms ?? {})]
    return modes.some((m) => m !== 'pusher')
  }

  end() {
    this.force('pusher') // asks for nothing any more
    this.timers.end()
  }

  private prepare(): Promise<unknown> {
    return this.forced && this.usesSupabase() ? soon(this.load()) : Promise.resolve()
  }

  private async fetch() {
    const ask = { path: '/roomcast.json', open: true, patience: PATIENCE, check: (answer: any) => isMode(answer?.mode) }
    const answer = await this.requests.send(() => ask).catch(() => {})
    if (answer) this.answer = answer // else the old plan holds
    if (answer?.share) await this.identify().catch(() => {})
    await this.load()
    this.changed()
  }

  /** Loads Supabase's side if it may be needed; tries again for as long as it cannot be had. */
  private async load() {
    if (this.move || !this.usesSupabase()) return
    try {
      this.move = await import('./move.js')
      this.failures = 0
      this.changed()
    } catch {
      this.timers.start('load', backoff(this.failures++), () => void this.load())
    }
  }
}

/** Work, or PATIENCE. */
const soon = (work: Promise<unknown>) => Promise.race([work, new Promise((done) => setTimeout(done, PATIENCE))])
