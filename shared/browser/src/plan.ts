// Which way each room's messages come: the app's own choice, or the function's plan
// (CLIENT_MODE, GET /roomcast.json; shared/browser/plan.go describes it). If Supabase may
// bring some, the client's Supabase part is loaded first: see move.ts. Until it can be
// loaded, rooms use Pusher, the history and polling, which are in the first module, so that
// no page is silent because the part is missing.

import type { Context } from './context.js'
import { backoff, bounded, now, PATIENCE, Timers } from './platform.js'
import type { Mode } from './types.js'

const MINUTE = 60_000
const PLAN_PATIENCE = 2_000 // ms a room waits for the plan
const LONGEST = 10 * MINUTE // between two tries to load: an older version's part never comes

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
  private forced?: Mode
  private answer: Answer
  private asked = 0 // when
  private ready: Promise<unknown> = Promise.resolve()
  private isReady = false // rooms may go by it
  private loading?: Promise<unknown>
  private failures = 0 // to load, in a row
  private timers = new Timers()

  constructor(private context: Context) {
    const { mode, supabase } = context.options
    this.answer = { mode: supabase ? 'both' : 'pusher' }
    this.force(mode)
  }

  /** Resolves when rooms may go by the plan: it is known, or does not come. */
  refresh(): Promise<unknown> {
    if (this.forced || now() - this.asked < MINUTE) return this.ready
    this.asked = now()
    return this.prepare(within(PLAN_PATIENCE, this.fetch()))
  }

  force(mode?: Mode) {
    this.forced = mode
    this.asked = 0
    if (mode) void this.prepare(Promise.resolve())
  }

  /** Undefined until it is known. */
  modeOf(room: string, user?: string | null): Mode | undefined {
    if (this.move) return this.forced ?? this.move.modeOf(this.answer, room, user)
    return this.isReady || !this.usesSupabase() ? 'pusher' : undefined
  }

  /** May Supabase bring messages, or step in where Pusher is away? While it serves some of this chat's pages. */
  usesSupabase() {
    if (!this.context.options.supabase || this.forced === 'pusher') return false
    const { mode, share, rooms } = this.answer
    const modes = [this.forced ?? mode, ...Object.keys(share ?? {}), ...Object.values(rooms ?? {})]
    return modes.some((m) => m !== 'pusher')
  }

  end() {
    this.force('pusher') // asks for nothing any more
    this.timers.end()
  }

  private prepare(known: Promise<unknown>) {
    return this.ready = known.then(() => this.load()).then(() => this.isReady = true)
  }

  private async fetch() {
    const ask = { path: '/roomcast.json', open: true, patience: PLAN_PATIENCE, check: (answer: any) => isMode(answer?.mode) }
    const answer = await this.context.requests.send(() => ask).catch(() => {})
    if (answer) this.answer = answer // else the old plan holds
    if (answer?.share) await this.context.session.token().catch(() => {}) // knows the user
    await this.load()
    this.context.openAll()
  }

  /** Loads Supabase's side if it may be needed. Resolves when it is there, or does not come. */
  private load(): Promise<unknown> {
    if (this.move || !this.usesSupabase()) return Promise.resolve()
    return this.loading ??= within(PATIENCE, this.tryLoad())
  }

  private async tryLoad() {
    try {
      this.move = await import('./move.js')
      this.failures = 0
      this.context.openAll()
    } catch {
      this.timers.start('load', backoff(this.failures++, LONGEST), () => {
        this.loading = undefined
        void this.load()
      })
    }
  }
}

/** Resolves with the work, or after ms. */
const within = (ms: number, work: Promise<unknown>) => bounded(work, ms).catch(() => {})
