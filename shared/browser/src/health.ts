// Watches whether Pusher delivers, and otherwise asks the function every few seconds, or
// lets Supabase bring the messages.
//
// The requests of a page, for all rooms together (tested): at rest and visible, two in the
// minutes after the last event, then one every 400 s, and one when its user acts after a
// silence, at most three an hour; hidden, none. While Pusher is away, one every 10 s, or as
// seldom as one a minute if nothing comes.

import type { Context } from './context.js'
import { isHidden, jitter, now, Timers } from './platform.js'
import type { Status } from './types.js'

const AWAY = 10_000 // ms without a connection until Pusher counts as away
const RESTS = [100_000, 95_000, 400_000] // ms between two questions of a page at rest
const FIRST = 10_000, SLOWEST = 60_000 // ms between two polls
const DOUBT = 120_000 // ms during which a socket is not trusted after it brought nothing
const TOUCHES = 3 // an hour
const MINUTE = 60_000, HOUR = 60 * MINUTE

interface Asked {
  ask(ms: number): void
}

export class Health implements Status {
  status: Status['status'] = 'offline'
  since = Date.now()
  /** Supabase steps in for Pusher. */
  isSubstituted = false
  private isAway = false
  private isBarred = false // connected, and a channel is not let in
  private advice = 0 // seconds between polls: the function says that Pusher refuses its events
  private isSilent = false // connected, and brings nothing
  private lastPush = 0
  private heardAt = 0 // the function
  private touches: number[] = [] // when the user's doing made the page ask
  private silences = 0 // in a row
  private reconnectedAt = 0
  private rests = 0
  private pause = FIRST
  private timers = new Timers()
  private bursts = new Map<Asked, number>() // rooms with events since they were asked: when was the last

  /** About how many ms after a burst a room is checked; 0: never. */
  private burstEnd: number

  constructor(private context: Context) {
    this.burstEnd = context.options.settle ?? 20_000
  }

  isPolling() {
    return this.status === 'polling'
  }

  socketChanged() {
    if (this.context.socket.isConnected()) {
      this.timers.cancel('away')
      this.isAway = false
    } else if (this.context.socket.isRefused()) this.isAway = true
    else this.timers.start('away', AWAY, () => { this.isAway = true; this.update() })
    this.update()
  }

  /** A page came from the function. */
  heard(poll = 0) {
    this.heardAt = now()
    if (!Number.isFinite(poll) || poll === this.advice) return
    this.advice = Math.min(poll, SLOWEST / 1000)
    this.timers.cancel('poll')
    this.update()
  }

  pushed() {
    this.lastPush = now()
    if (!this.isSilent && !this.silences) return
    this.silences = 0
    this.isSilent = false
    this.timers.cancel('trust')
    this.update()
  }

  /** A fetch brought what Pusher did not, also not since then, though it is connected. */
  missed(since: number) {
    if (this.advice || this.lastPush >= since || !this.context.socket.isConnected()) return
    this.isSilent = true
    this.timers.cancel('trust')
    this.timers.start('trust', DOUBT, () => { this.isSilent = false; this.update() })
    this.update()
    if (now() - this.reconnectedAt < MINUTE * 2 ** Math.min(4, this.silences)) return
    this.reconnectedAt = now()
    this.silences++
    this.context.socket.reconnect()
  }

  /** Something happens in the rooms, or the user acts. */
  active() {
    this.pause = FIRST
    this.rests = 0
    this.timers.cancel('rest')
    this.rest()
  }

  /** The user does something: what a long silence is, is asked now and not when its time comes. */
  touched() {
    const time = now()
    if (!this.burstEnd || isHidden() || time - Math.max(this.heardAt, this.lastPush) < RESTS[0]) return
    this.touches = this.touches.filter((at) => time - at < HOUR)
    if (this.touches.push(time) > TOUCHES) return void this.touches.pop()
    this.timers.cancel('rest')
    this.poll()
    this.rest()
  }

  /** An event came to the room: when no more do, it is asked once whether that was all. */
  burst(room: Asked) {
    this.bursts.set(room, now())
    this.settle()
  }

  private settle() {
    if (this.burstEnd && this.bursts.size) this.timers.start('settle', jitter(this.burstEnd), () => {
      for (const [room, at] of this.bursts) {
        if (now() - at < this.burstEnd / 2) continue // it goes on
        this.bursts.delete(room)
        if (!isHidden() && !this.isPolling()) room.ask(0)
      }
      this.settle()
    })
  }

  /** Decides how events come. */
  update() {
    const { context } = this
    this.lookAtDoor()
    const isOut = this.needsPusher() && (this.isAway || this.isBarred || this.advice > 0 || this.isSilent)
    const substituted = isOut && context.plan.usesSupabase()
    if (substituted !== this.isSubstituted) {
      this.isSubstituted = substituted
      context.openAll()
    }
    this.move(this.judge(isOut))
    if (isOut) this.startPolling()
    else this.timers.cancel('poll')
  }

  end() {
    this.timers.end()
  }

  /** A connection without its channels brings nothing: wrong signatures, or a function that gives none. */
  private lookAtDoor() {
    if ([...this.context.rooms].every((room) => room.isAdmitted())) {
      this.timers.cancel('door')
      this.isBarred = false
    } else this.timers.start('door', AWAY, () => { this.isBarred = true; this.update() })
  }

  private judge(isOut: boolean): Status['status'] {
    const { rooms, socket, requests } = this.context
    if (this.needsPusher() && !isOut) return socket.isConnected() ? 'live' : this.status // it may only be a moment
    if ([...rooms].some((room) => room.side?.isLive)) return 'supabase'
    return isOut && !requests.failures ? 'polling' : 'offline'
  }

  /** Some room's events come by Pusher, if all is well. */
  private needsPusher() {
    return [...this.context.rooms].some((room) => room.mode !== 'supabase')
  }

  private poll() {
    this.context.rooms.forEach((room) => room.poll())
  }

  private move(status: Status['status']) {
    if (status === this.status) return
    this.status = status
    this.since = Date.now()
    this.context.handlers.emit('status', { status, since: this.since })
  }

  private startPolling() {
    const pause = this.status === 'supabase' ? MINUTE : this.advice ? Math.max(1, this.advice) * 1000 : this.pause
    this.timers.start('poll', pause * (0.75 + Math.random() / 2), () => {
      this.pause = Math.min(SLOWEST, this.pause * 1.3)
      if (!isHidden()) this.poll()
      this.update()
    })
  }

  /** A page that hears nothing asks now and then whether there was something. */
  private rest() {
    if (!this.burstEnd) return
    const pause = RESTS[Math.min(this.rests, RESTS.length - 1)]
    this.timers.start('rest', pause * (0.95 + Math.random() / 10), () => {
      this.rests++
      if (!isHidden()) this.poll()
      this.rest()
    })
  }
}
