// Roomcast's client: a chat's events in the browser or in Node, each exactly once and in
// order.
//
//   import { createRoomcast } from 'roomcast'
//
//   const rooms = createRoomcast({ pusher, supabase, url: 'https://app.fly.dev' })
//   const room = rooms.join(roomId)
//   room.on('live', () => loadTheTable())
//   room.on('new-message', (message) => …)
//   room.on('reset', () => loadTheTableAgain())
//   room.leave()
//
// As long as GET /rooms/{room}/events answers now and then, it guarantees every event from
// the start on, exactly once and in the order of its number, despite repeats, reordering,
// drops, lost connections, sleep, expired tokens and connections that the server ended.
// In the modes 'both' and 'supabase' an event of Supabase Realtime may be shown before its
// number is known: it waits up to two seconds to be put in order, and is then shown anyway,
// so that a page is as well off as with Supabase alone while Roomcast is away. While Pusher
// is away, refuses or brings nothing, a visible page asks the function instead: see health.ts.

import { Authorizer } from './authorize.js'
import type { Context } from './context.js'
import { Handlers } from './handlers.js'
import { Health } from './health.js'
import { History } from './history.js'
import { markRead, readInbox } from './inbox.js'
import { Plan } from './plan.js'
import { isHidden, onPageReturns, onTouch, type Failure } from './platform.js'
import { Requests } from './requests.js'
import { RoomState } from './room.js'
import { Session } from './session.js'
import { Socket } from './socket.js'
import type { AnyRow, JoinOptions, Mode, Options, Roomcast } from './types.js'

export * from './types.js'
export { channelName, userChannelName } from './channel.js'

/** Creates the client. Call it once for a page, in the browser, and not on a server (no WebSocket, no user). */
export function createRoomcast<R = AnyRow>(options: Options<R>): Roomcast<R> {
  return new Client(options as Options).handle as Roomcast<R>
}

class Client implements Context {
  readonly handle: Roomcast
  readonly rooms = new Set<RoomState>()
  readonly handlers = new Handlers()
  readonly session: Session
  readonly requests: Requests
  readonly plan: Plan
  readonly authorizer: Authorizer
  readonly health: Health
  readonly history: History
  readonly socket: Socket
  private stopListening: (() => void)[]

  constructor(readonly options: Options) {
    this.session = new Session(options, (other) => this.userChanged(other))
    this.requests = new Requests(this)
    this.plan = new Plan(this)
    this.authorizer = new Authorizer(this)
    this.health = new Health(this)
    this.history = new History(this)
    this.socket = new Socket(this)
    this.stopListening = [onPageReturns(() => isHidden() || this.wake()), onTouch(() => this.health.touched())]
    this.handle = this.makeHandle()
    this.health.socketChanged()
  }

  private makeHandle(): Roomcast {
    const client = this
    return {
      get status() { return client.health.status },
      get since() { return client.health.since },
      join: (id, options) => client.join(String(id), false, options),
      me: (options) => client.join('@me', true, options),
      on: (name, fn) => client.handlers.add(name, fn),
      inbox: () => readInbox(client.requests),
      read: (id, seq) => markRead(client.requests, String(id), seq),
      wake: () => client.wake(),
      setMode: (mode) => client.setMode(mode),
      close: () => client.close(),
    }
  }

  private join(id: string, personal: boolean, options: JoinOptions = {}) {
    const room = new RoomState(this, id, personal, options)
    this.rooms.add(room)
    const user = personal ? this.session.token().catch(() => {}) : undefined
    void Promise.all([this.plan.refresh(), user]).then(() => room.open())
    return room.handle
  }

  openAll() {
    this.rooms.forEach((room) => room.open())
  }

  /** All rooms come by Supabase: Roomcast must cost nothing. */
  isSparing() {
    return this.rooms.size > 0 && [...this.rooms].every((room) => room.mode === 'supabase')
  }

  requestsSettled(err?: Failure) {
    if (err) this.rooms.forEach((room) => room.failed(err))
    else void this.plan.refresh()
    this.health.update()
  }

  private wake() {
    this.requests.retry()
    void this.plan.refresh()
    this.health.active()
    this.socket.attachAll()
    this.rooms.forEach((room) => room.check())
  }

  // The next user hears nothing of the last one's. The same user's new token is no news,
  // but for a function that refused the old one.
  private userChanged(other: boolean) {
    if (other) this.socket.reconnect()
    this.rooms.forEach((room) => other ? room.restart() : room.open())
    if (other || !this.isSparing()) this.requests.retry()
  }

  private setMode(mode?: Mode) {
    this.plan.force(mode)
    void this.plan.refresh()
    this.openAll()
  }

  private close() {
    this.plan.end()
    this.rooms.forEach((room) => room.leave())
    this.session.close()
    this.stopListening.forEach((stop) => stop())
    this.socket.end()
    this.health.end()
    this.handlers.clear()
  }
}
