// One room, or the user's own stream: opens what brings its events, asks for what is
// missing, and hands everything to the app.

import { channelName, userChannelName } from './channel.js'
import type { Context } from './context.js'
import { Feed, type Entry } from './feed.js'
import { Handlers } from './handlers.js'
import type { Page, Question, Reader } from './history.js'
import { backoff, callApp, jitter, now, STREAM_PATIENCE, Timers, type Failure } from './platform.js'
import type { Side } from './side.js'
import { Signals } from './signals.js'
import type { Listener } from './socket.js'
import type { Arrival, ChannelKind, JoinOptions, Loss, Mode, ResetReason, Room } from './types.js'

const GAP = 120 // ms in the middle until a gap is fetched: it may only be early
const EMPTY_PAGES = 5 // in a row, after which a hole is crossed slower
const SLOW = 300 // ms
const TOGETHER = 20 // ms: rooms that were let in at once ask at once
const SIBLINGS = 150 // ms for rooms that are let in one by one
const REFUSALS = 4 // by the function, until a room is denied: a new member may be let in a moment later
const OVERDUE = 120_000 // ms after which a number counts as missing
const PROOF = 3000 // ms after which what was fetched should have been pushed
const EXPECTED = 2500 // ms until an own write is asked for
// Forward-only mode's events have no roomcast key, and are known by name.
const UNNUMBERED = /^(new-.+|.+-(updated|deleted)|user-(joined|updated|left|online|offline)|room-activity)$/

export class RoomState implements Reader, Listener {
  status: Room['status'] = 'joining'
  mode: Mode | undefined
  readonly handle: Room
  readonly feed: Feed
  /** What Supabase brings, in modes that use it and once that module is loaded. */
  side?: Side
  private signals: Signals
  private handlers = new Handlers()
  private timers = new Timers()
  private channel?: string
  private unsubscribe?: () => void
  private generation = 0 // changes with the user
  private resetting?: ResetReason // to be told when it is known where the room goes on
  private liveAt = 0 // when a source last let the room in
  private refusals = 0
  private stuck = 0 // tries to fill a gap, in a row
  private empty = 0 // pages, in a row
  private gap?: number // the number that is missing since a moment
  private pushed = { seq: 0, at: 0 } // the latest by Pusher
  private isBaseline = false // the next page also has what came before the subscription

  constructor(readonly context: Context, readonly id: string, readonly personal: boolean, private join: JoinOptions) {
    const { options } = context
    if (!personal) channelName(this.kind(), id) // throws
    this.feed = new Feed((row) => options.key ? callApp(() => options.key!(row)) : row.id, this)
    this.signals = new Signals(context.socket, this.handlers)
    const after: any = (join.after as any)?.roomcast ?? join.after
    if (after !== undefined) this.feed.sequence.restart(after.epoch, (after.seq ?? after) + 1)
    this.handle = this.makeHandle()
  }

  private kind(): ChannelKind {
    return this.join.channel ?? this.context.options.channel ?? 'private'
  }

  private makeHandle(): Room {
    const room = this
    return {
      id: this.id,
      get status() { return room.status },
      get mode() { return room.mode },
      get members() { return room.signals.members() },
      on: (name: string, fn: any) => room.on(name, fn),
      send: (name, data) => room.signals.send(name, data),
      expect: (key) => room.expect(key),
      leave: () => room.leave(),
    }
  }

  private on(name: string, fn: any) {
    const off = this.handlers.add(name, fn)
    this.signals.bind()
    return off
  }

  // Sources

  /** Opens what the room's mode asks for, and closes the rest once that is live. */
  open() {
    const { session, plan, health } = this.context
    if (this.isOver() || session.isSignedOut()) return
    this.mode = this.personal ? 'pusher' : plan.modeOf(this.id, session.user)
    if (!this.mode) return
    if (!this.personal) this.side ??= plan.move?.createSide(this)
    if (this.mode !== 'supabase') this.openPusher()
    this.openSide()
    if (!this.isPlaced()) this.timers.start('position', this.mode === 'supabase' ? 0 : STREAM_PATIENCE, () => this.isPlaced() || this.ask(0))
    health.update()
  }

  /** The old source goes when the new one is live. */
  private openSide() {
    this.side?.open()
    if (this.mode === 'supabase' && this.side?.isLive) this.closePusher()
  }

  /** It is known where the room is. */
  isPlaced() {
    return this.feed.sequence.next !== undefined
  }

  isOver() {
    return this.status === 'left' || this.status === 'denied'
  }

  private openPusher() {
    const { user } = this.context.session
    if (this.unsubscribe || this.personal && !user) return
    this.channel = this.personal ? userChannelName(user!) : channelName(this.kind(), this.id)
    this.unsubscribe = this.context.socket.subscribe(this.channel, this)
    const presence = this.kind() === 'presence' ? this.channel : this.join.presence && channelName('presence', this.id)
    this.signals.open(presence || this.channel, !!presence, presence !== this.channel)
  }

  /** The presence channel says who is there, and this one what is said. */
  private follow(carrier: string) {
    const presence = this.channel!, leave = this.unsubscribe!
    this.signals.close()
    this.signals.open(presence, true, true)
    leave()
    this.channel = carrier
    this.unsubscribe = this.context.socket.subscribe(carrier, this)
  }

  isAdmitted() {
    return !this.unsubscribe || this.isSubscribed()
  }

  isSubscribed() {
    return !!this.unsubscribe && this.context.socket.isSubscribed(this.channel!)
  }

  private closePusher() {
    this.signals.close()
    this.unsubscribe?.()
    this.unsubscribe = undefined
  }

  // Pusher's side

  subscribed() {
    const carrier = this.context.socket.carrierOf(this.channel!)
    if (carrier && carrier !== this.channel) return this.follow(carrier)
    this.refusals = 0
    this.isBaseline = true
    if (this.status === 'denied') this.status = 'joining'
    this.sourceLive()
  }

  /** A source has let the room in, or is back: whatever came before is asked for. */
  sourceLive() {
    this.liveAt = Date.now()
    this.becomeLive()
    this.openSide()
    this.side?.renew()
    this.context.requests.retry()
    const isLast = [...this.context.rooms].every((room) => room.isAdmitted())
    this.ask(this.isPlaced() ? jitter(GAP) : isLast ? TOGETHER : SIBLINGS) // everybody else is back now, too
    this.context.health.active()
    this.context.health.update()
  }

  refused(status?: number) {
    if (status === 403 && this.refusals >= REFUSALS) this.deny()
    else this.context.socket.resubscribe(this.channel!, backoff(this.refusals++, 30_000))
  }

  event(name: string, data: any) {
    if (name === 'packed') data.forEach(([inner, each]: [string, any]) => this.event(inner, each))
    else if (name.startsWith('client-') || name.startsWith('pusher:')) return // signals are not the server's word
    else if (Number.isSafeInteger(data?.roomcast?.seq) || data && UNNUMBERED.test(name)) this.hear(name, data)
  }

  private hear(name: string, data: any) {
    const { seq = 0 } = data.roomcast ?? {}
    this.pushed = { seq: Math.max(seq, this.pushed.seq), at: now() }
    this.context.health.pushed()
    if (this.feed.take(name, data)) return this.startAgain('repeat', name, data)
    this.feed.sequence.advance()
    this.watchGap()
    this.side?.flush()
    this.settle()
  }

  /** A gap is fetched soon after it is seen, whatever follows it. */
  private watchGap() {
    const { sequence } = this.feed
    const missing = sequence.hasGap() ? sequence.next : undefined
    if (missing === this.gap && this.timers.has('gap')) return
    if (missing !== this.gap) {
      this.timers.cancel('overdue')
      if (missing) this.timers.start('overdue', OVERDUE, () => sequence.hasGap() && this.lost('missing', missing, sequence.gap()))
    }
    this.gap = missing
    this.timers.cancel('gap')
    if (missing) this.timers.start('gap', jitter(GAP), () => this.ask(0))
  }

  /** The numbers went back. Shows nothing until it is known where they are now. */
  private startAgain(reason: ResetReason, name: string, data: any) {
    this.feed.sequence.clear()
    this.feed.sequence.restart()
    this.pushed.seq = 0
    this.resetting = reason
    this.feed.take(name, data)
    this.ask(0)
  }

  // The history

  question(): Question | undefined {
    if (this.isOver() || this.context.session.isSignedOut()) return
    const { next, epoch, count: known } = this.feed.sequence, { generation } = this
    return { after: next === undefined ? undefined : next - 1, epoch, generation, known }
  }

  answered(page: Page, question: Question): number | undefined {
    const { sequence } = this.feed, before = sequence.next
    if (this.status === 'left' || question.generation !== this.generation) return
    if (question.after !== undefined && !this.isPlaced()) return 0 // numbered again meanwhile
    if (question.after === undefined) this.placed(page)
    else if (page.reset) this.startOver(page)
    else this.fill(page)
    sequence.prune(question.known)
    sequence.advance()
    this.becomeLive()
    this.side?.fetched()
    return this.askAgain(page, question, before)
  }

  private askAgain(page: Page, { after }: Question, before?: number): number | undefined {
    const { sequence } = this.feed
    this.empty = page.events.length ? 0 : this.empty + 1
    if (after !== undefined && page.more && !page.reset) return this.empty > EMPTY_PAGES ? jitter(SLOW) : 0
    this.empty = 0
    this.stuck = sequence.hasGap() && sequence.next === before ? this.stuck + 1 : 0
    if (this.stuck) return backoff(this.stuck)
    this.watchGap()
  }

  /** It is known where the room is. */
  private placed(page: Page) {
    const { sequence } = this.feed
    if (!this.isPlaced()) sequence.start(page.epoch, page.head)
    this.isBaseline = false
    if (this.resetting) this.handlers.emit('reset', { reason: this.resetting })
    this.resetting = undefined
    this.side?.open()
  }

  /** Nothing continues from where the room is. */
  private startOver(page: Page) {
    const { epoch, next } = this.feed.sequence
    const isOther = !!epoch && page.epoch !== epoch
    if (!isOther) this.lost('window', next!, Math.max(0, page.head + 1 - next!))
    this.reset(isOther ? 'epoch' : 'window', page)
  }

  private fill(page: Page) {
    const { sequence } = this.feed
    for (const { name, data } of page.events) if (data.roomcast.seq >= sequence.next!) this.feed.take(name, data, true)
    if (page.events.length) this.doubt(page.events[page.events.length - 1].data.roomcast.seq)
    this.isBaseline &&= page.more
    sequence.advance(page.last)
    if (page.events.length) this.settle()
  }

  /** Was this fetched because Pusher did not bring it? Its own event may be on the way. */
  private doubt(seq: number) {
    if (this.isBaseline || seq <= this.pushed.seq || !this.isSubscribed()) return
    const asked = now()
    this.timers.start('proof', PROOF, () => {
      if (this.pushed.seq < seq && this.isSubscribed()) this.context.health.missed(asked)
    })
  }

  failed(err: Failure) {
    if (this.status === 'left') return
    this.handlers.emit('error', err)
    if (err.status === 403 && this.status === 'live') this.deny()
    this.side?.start()
    this.side?.flush()
  }

  // The app

  show({ name, data }: Entry) {
    const { options, session } = this.context
    if (name === 'bulk-change') {
      const { name: table, op, count } = data
      this.side?.drop()
      return this.handlers.emit('reset', { reason: 'bulk', name: table, op, count })
    }
    this.handlers.emit(name, data)
    // who was removed may still be connected, if only the way to be disconnected failed
    if (name === 'user-left' && data[options.userColumn ?? 'user_id'] === session.user) this.ask(0)
  }

  saw(side: 'pusher' | 'supabase', event: any, how?: Arrival['how'], numbers?: number) {
    const { health: { status }, options } = this.context
    callApp(() => options.onSeen?.({ room: this.id, mode: this.mode!, side, event, how, numbers, status, live: this.liveAt }))
  }

  lost(how: Loss, seq: number, numbers = 1) {
    this.saw('pusher', { name: '', seq }, how, numbers)
  }

  ask(ms: number) {
    this.context.history.want(this, ms)
  }

  isAsking() {
    return this.context.history.isAsking(this)
  }

  /** A lost last message leaves no gap: asks once after each burst. */
  settle() {
    this.context.health.active()
    this.context.health.burst(this)
  }

  private expect(key?: unknown) {
    const wrote = now()
    this.context.health.active()
    this.timers.start('expect', EXPECTED, () => {
      if (key === undefined ? this.pushed.at < wrote : !this.feed.knows(key)) this.ask(0)
    })
  }

  /** From a known number on, or as Supabase alone would. */
  private becomeLive() {
    const { socket, health } = this.context
    const letIn = this.mode !== 'supabase' && (this.isSubscribed() || this.isPlaced() && (!socket.isConnected() || health.isPolling()))
    if (this.status !== 'joining' || !(letIn && this.isPlaced()) && !this.side?.isLive) return
    this.status = 'live'
    this.handlers.emit('live')
  }

  private reset(reason: ResetReason, page?: Page) {
    this.side?.drop()
    this.pushed.seq = 0
    this.feed.sequence.restart(page?.epoch, page && page.head + 1)
    this.handlers.emit('reset', { reason })
  }

  /** This user may not read the room. Nothing is heard until it is asked for again. */
  private deny() {
    this.closePusher()
    this.side?.stop()
    this.timers.cancelAll()
    const before = this.status
    this.status = 'denied'
    if (before !== 'denied') this.handlers.emit('denied')
  }

  /** The page is back, or doubts. */
  check() {
    if (this.status === 'denied') {
      this.refusals = REFUSALS // one try
      this.status = 'joining'
      return this.open()
    }
    this.ask(jitter(GAP))
    if (this.channel && this.unsubscribe) this.context.socket.resubscribe(this.channel, 0)
  }

  /** Asks whether something came, where Pusher does not say it. */
  poll() {
    if (this.mode !== 'supabase' && this.status !== 'denied') this.ask(0)
  }

  /** Another user: nothing of the last one's is left. */
  restart() {
    this.closePusher()
    this.side?.stop()
    this.timers.cancelAll()
    this.context.history.forget(this)
    this.generation++
    this.feed.clear()
    this.side?.clear()
    this.refusals = this.stuck = 0
    this.status = 'joining'
    this.reset('user')
    this.open()
  }

  leave() {
    this.closePusher()
    this.side?.stop()
    this.timers.end()
    this.status = 'left'
    this.handlers.clear()
    this.context.history.forget(this)
    this.context.rooms.delete(this)
  }
}
