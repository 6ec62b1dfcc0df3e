// All that is done to the app's pusher-js, tested against 8.0.1, 8.4.0 and 8.6.0. Beyond its
// public interface there are, marked "internal": the authorizers are set in its config,
// since an app makes it before Roomcast; a channel's bindings are counted before it is
// unsubscribed; a refused subscription is reset; a connection that gave WebSockets up
// is given a new strategy.

import type { Context } from './context.js'
import { backoff, failure, jitter, Timers } from './platform.js'

const MINUTE = 60_000
const OLDEST = 8 // major version of pusher-js
const CHECK = 10_000 // ms between two looks whether the app has left a channel alone
const SUBSCRIBED = 'pusher:subscription_succeeded'

/** Who listens to a channel. */
export interface Listener {
  event(name: string, data: any): void
  subscribed(): void
  /** By the function (403), or by Pusher. */
  refused(status?: number): void
}

interface Subscription {
  channel: any
  listeners: Set<Listener>
  heard: (name: string, data: any) => void
  /** It is the app's own, too: it was there before. */
  shared: boolean
  status?: number // of the function's last refusal
  carrier?: string // the channel that carries the events, if this one does not
}

export class Socket {
  private subscriptions = new Map<string, Subscription>()
  private timers = new Timers()
  private again = new Set<string>() // channels that were refused
  private refusals = 0 // connections that the server ended, in a row
  private refusal?: number // its last code
  private pusher: any
  private config: any
  private ended = false
  private undo: (() => void)[] = []

  constructor(private context: Context) {
    const { pusher } = context.options
    this.pusher = pusher
    requireVersion(pusher)
    this.install()
    const bindings: [string, (data: any) => void][] = [
      ['connected', () => this.connected()],
      ['error', (err) => this.failed(err)],
      ['disconnected', () => this.disconnected()],
      ['failed', () => this.timers.start('revive', backoff(1), () => this.revive())],
      ['state_change', () => { this.install(); context.health.socketChanged() }],
    ]
    for (const [name, fn] of bindings) pusher.connection.bind(name, fn)
    this.attachAll()
    this.undo.push(() => bindings.forEach(([name, fn]) => pusher.connection.unbind(name, fn)))
  }

  isConnected() {
    return this.pusher.connection.state === 'connected'
  }

  /** Pusher has ended the connection, and not for Roomcast's own reasons: over quota, disabled, unknown. */
  isRefused() {
    return this.refusal !== undefined && this.refusal !== 4009
  }

  isSubscribed(name: string): boolean {
    return !!this.pusher.channel(name)?.subscribed
  }

  /** The channel that carries the events of this one, by the function's word. */
  carrierOf(name: string): string | undefined {
    return this.subscriptions.get(name)?.carrier
  }

  /** Listens to a channel; returns what ends that. */
  subscribe(name: string, listener: Listener): () => void {
    const known = this.subscriptions.get(name)
    const subscription = known?.listeners.size ? known : this.open(name, known?.shared)
    subscription.listeners.add(listener)
    if (subscription.channel.subscribed) setTimeout(() => subscription.listeners.has(listener) && listener.subscribed())
    return () => {
      if (subscription.listeners.delete(listener) && !subscription.listeners.size) this.close(name, subscription)
    }
  }

  /** Asks again for a channel that was refused, in ms, together with others that were. */
  resubscribe(name: string, ms: number) {
    this.again.add(name)
    this.timers.start('again', ms, () => {
      for (const refused of this.again) this.askAgain(refused)
      this.again.clear()
    })
  }

  private askAgain(name: string) {
    const subscription = this.subscriptions.get(name)
    if (!subscription || subscription.channel.subscribed || subscription.status === undefined) return
    subscription.status = undefined
    subscription.channel.disconnect() // internal: else it waits for a subscription that Pusher refused
    this.attach(name, subscription)
  }

  /** The app may have unbound or unsubscribed, for its own part, what Roomcast listens to as well. */
  attachAll() {
    for (const [name, subscription] of this.subscriptions) {
      if (!subscription.listeners.size || subscription.status !== undefined) continue
      if (this.attach(name, subscription) && subscription.channel.subscribed) this.dispatch(name, SUBSCRIBED)
    }
    this.timers.start('attach', CHECK, () => this.attachAll())
  }

  /** Subscribes and hears the channel; returns true if it was not heard. Harmless where all is well. */
  private attach(name: string, subscription: Subscription): boolean {
    const isOurs = !isApps(this.pusher.channel(name)), channel = this.pusher.subscribe(name), before = subscription.channel
    const { heard } = subscription
    if (channel === before && channel.global_callbacks.includes(heard)) return false // internal
    if (before && channel !== before) subscription.shared = !isOurs
    subscription.channel = channel
    channel.bind_global(heard)
    if (!subscription.shared) channel[OURS] = true
    return true
  }

  /** Sends a client event; false if it cannot be sent now. */
  trigger(name: string, event: string, data: unknown): boolean {
    return this.isConnected() && this.isSubscribed(name) && !!this.pusher.channel(name).trigger(event, data)
  }

  /** The channel, for bindings with their metadata. */
  channel(name: string): any {
    return this.pusher.channel(name)
  }

  /** Makes a new connection, with new authorizations. */
  reconnect() {
    this.pusher.disconnect()
    this.pusher.connect()
  }

  end() {
    this.ended = true
    this.timers.end()
    this.undo.forEach((fn) => fn())
  }

  private open(name: string, shared = isApps(this.pusher.channel(name))): Subscription {
    this.pusher.signin() // lets the server end this connection with the membership
    const listeners = new Set<Listener>()
    const heard = (event: string, data: any) => this.dispatch(name, event, data)
    const subscription: Subscription = { channel: undefined, listeners, heard, shared }
    this.subscriptions.set(name, subscription) // before: pusher-js may ask for its signature at once
    this.attach(name, subscription)
    return subscription
  }

  private close(name: string, subscription: Subscription) {
    const { channel, heard, shared } = subscription
    channel.unbind_global(heard)
    if (shared || isBound(channel)) return // the app goes on with it, and Roomcast authorizes it
    this.subscriptions.delete(name)
    this.pusher.unsubscribe(name)
  }

  private dispatch(name: string, event: string, data?: any) {
    const subscription = this.subscriptions.get(name)
    for (const listener of [...subscription?.listeners ?? []]) {
      if (event === SUBSCRIBED) listener.subscribed()
      else if (event === 'pusher:subscription_error') listener.refused(subscription!.status ??= data?.status ?? 0)
      else listener.event(event, data)
    }
  }

  // A token that pusher-js was made with would be old at a reconnect, so its
  // authorizers are replaced: for the channels of rooms, and for the sign-in.
  // pusher.switchCluster makes a new config, which gets them as well.
  private install() {
    const config = this.pusher.config // internal: typed, not documented
    if (this.ended || config === this.config) return
    this.config = config
    const others = { channel: config.channelAuthorizer, user: config.userAuthenticator }
    const channel = (asked: any, done: any) =>
      this.ended || !this.subscriptions.has(asked.channelName) ? others.channel(asked, done) : this.authorize(asked, done)
    const user = (asked: any, done: any) => this.ended ? others.user(asked, done) : this.signIn(asked, done)
    Object.assign(config, { channelAuthorizer: channel, userAuthenticator: user })
    this.undo.push(() => { // unless somebody else's stand on ours by now
      if (config.channelAuthorizer === channel) config.channelAuthorizer = others.channel
      if (config.userAuthenticator === user) config.userAuthenticator = others.user
    })
  }

  private async authorize({ socketId, channelName }: any, done: (err: Error | null, data: any) => void) {
    const same = () => !this.ended && this.pusher.connection.socket_id === socketId
    const wanted = () => same() && this.subscriptions.has(channelName)
    try {
      const signature = await this.context.authorizer.channel(socketId, channelName, wanted)
      const asked = this.subscriptions.get(channelName)
      if (asked) asked.carrier = signature.events
      done(null, signature)
    } catch (err: any) {
      if (!same()) return // the channel waits for another connection's by now
      const subscription = this.subscriptions.get(channelName)
      if (subscription) subscription.status = err.status
      done(err, null)
      if (!subscription) this.pusher.unsubscribe(channelName) // it was left while it was asked for
    }
  }

  private async signIn({ socketId }: any, done: (err: Error | null, data: any) => void) {
    const wanted = () => !this.ended && this.pusher.connection.socket_id === socketId
    const signature = await this.context.authorizer.user(socketId, wanted)
    if (wanted()) done(signature ? null : failure('sign-in refused'), signature)
  }

  private connected() {
    this.timers.cancel('revive')
    this.refusal = undefined
    this.timers.start('stable', MINUTE, () => this.refusals = 0)
    for (const subscription of this.subscriptions.values()) subscription.status = undefined
    void this.context.plan.refresh()
  }

  // https://pusher.com/docs/channels/library_auth_reference/pusher-websockets-protocol/#error-codes
  // 4000 to 4099: pusher-js stays away until connect() is called. 4009 is also what ends
  // the connections of a user who left a room; 4004 says that the app has too many.
  private failed(err: any) {
    const code = (err?.error ?? err)?.data?.code
    if (code >= 4000 && code < 4100) this.refusal = code
  }

  private disconnected() {
    this.timers.cancel('stable')
    if (this.refusal === undefined) return // by the app itself
    const pause = this.isRefused() ? jitter(Math.min(10 * MINUTE, MINUTE * 2 ** this.refusals)) : backoff(1 + this.refusals)
    this.refusals++
    this.timers.start('revive', pause, () => this.revive())
  }

  private revive() {
    const { connection } = this.pusher
    // internal: after two connections that broke soon pusher-js calls WebSockets unsupported
    if (connection.state === 'failed') connection.updateStrategy?.()
    if (['failed', 'disconnected'].includes(connection.state)) this.pusher.connect()
  }
}

// A mark on channels that a client of Roomcast has opened; there may be two on one pusher.
const OURS = Symbol.for('roomcast')

/** Has the app itself subscribed it? */
const isApps = (channel: any) => !!channel && !channel[OURS]

/** Has anybody else bound something? internal: there is no public way to ask. */
function isBound(channel: any) {
  const named = Object.values(channel.callbacks?._callbacks ?? {}) as unknown[][]
  return channel.global_callbacks?.length > 0 || named.some((list) => list.length > 0)
}

function requireVersion(pusher: any) {
  const version: string = pusher.timeline?.options?.version ?? pusher.constructor?.VERSION ?? '' // internal
  if (version && parseInt(version) < OLDEST || !pusher.signin) {
    throw failure(`pusher-js ${version} is too old, ${OLDEST}.0 or later is needed`)
  }
}
