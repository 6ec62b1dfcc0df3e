// Which way each room's messages come: the app's own choice, or the function's plan
// (CLIENT_MODE, GET /roomcast.json; shared/browser/plan.go says what is in it).

import type { Requests } from './requests.js'
import type { Mode } from './types.js'

const MINUTE = 60_000
const PATIENCE = 2_000 // ms a room waits for the plan

interface Answer {
  mode: Mode
  share?: Partial<Record<Mode, number>>
  rooms?: Record<string, Mode>
}

const isMode = (mode: any) => ['pusher', 'both', 'supabase'].includes(mode)

export class Plan {
  private answer: Answer
  private asked = 0 // when
  private ready: Promise<unknown> = Promise.resolve()

  constructor(private requests: Requests, public forced: Mode | undefined, private hasSupabase: boolean, private identify: () => Promise<unknown>, private changed: () => void) {
    this.answer = { mode: hasSupabase ? 'both' : 'pusher' }
  }

  /** Resolves when rooms may go by the plan: it is known, or does not come. */
  refresh(): Promise<unknown> {
    if (this.forced || Date.now() - this.asked < MINUTE) return this.ready
    this.asked = Date.now()
    const patience = new Promise((done) => setTimeout(done, PATIENCE))
    return this.ready = Promise.race([this.fetch(), patience])
  }

  force(mode?: Mode) {
    this.forced = mode
    this.asked = 0
  }

  /** A room's own mode, else the user's by their share, else that of all. */
  modeOf(room: string, user?: string | null): Mode {
    if (!this.hasSupabase) return 'pusher'
    const { rooms, share, mode } = this.answer
    let place = parseInt(user?.slice(0, 8) ?? '', 16) / 2 ** 32 // a uuid begins at random
    const shared = (['pusher', 'both', 'supabase'] as Mode[]).find((m) => (place -= share?.[m] ?? 0) < 0)
    return this.forced ?? rooms?.[room] ?? shared ?? mode
  }

  /** May Supabase step in where Pusher is away? While it serves some of this chat's pages. */
  maySubstitute() {
    if (!this.hasSupabase || this.forced === 'pusher') return false
    const { mode, share, rooms } = this.answer
    const modes = [this.forced ?? mode, ...Object.keys(share ?? {}), ...Object.values(rooms ?? {})]
    return modes.some((m) => m !== 'pusher')
  }

  private async fetch() {
    const ask = { path: '/roomcast.json', open: true, patience: PATIENCE, check: (answer: any) => isMode(answer?.mode) }
    const answer = await this.requests.send(() => ask).catch(() => {})
    if (answer) this.answer = answer // else the old plan holds
    if (answer?.share) await this.identify().catch(() => {})
    this.changed()
  }
}
