// What goes from browser to browser through Pusher: client events, and who is connected.
// https://pusher.com/docs/channels/using_channels/events/#triggering-client-events

import type { Handlers } from './handlers.js'
import type { Socket } from './socket.js'
import type { Member, Sender } from './types.js'

const MOST = 10 // client events a second: Pusher's limit, beyond which it ends the connection

const MEMBERSHIP = ['pusher:subscription_succeeded', 'pusher:member_added', 'pusher:member_removed']

export class Signals {
  private name?: string
  private channel: any
  private isPresence = false
  private unsubscribe?: () => void
  private bound = new Map<string, (data: any, from?: Sender) => void>()
  private sent: number[] = [] // when, of the last second

  constructor(private socket: Socket, private handlers: Handlers) {}

  /** Uses a channel; with `own` it is subscribed for signals only. */
  open(name: string, isPresence: boolean, own: boolean) {
    this.name = name
    this.isPresence = isPresence
    // A refusal is not asked about again: the room is told by its own channel.
    if (own) this.unsubscribe = this.socket.subscribe(name, { event() {}, subscribed() {}, refused() {} })
    this.channel = this.socket.channel(name)
    if (isPresence) for (const event of MEMBERSHIP) this.attach(event, () => this.handlers.signal('members', this.members()))
    this.bind()
  }

  /** Hears the client events that the app listens to. Bound by name: only so Pusher tells the sender. */
  bind() {
    if (!this.channel) return
    for (const name of this.handlers.names()) {
      if (name.startsWith('client-')) this.attach(name, (data, from) => this.handlers.signal(name, data, from))
    }
  }

  send(name: string, data: unknown = {}): boolean {
    const now = Date.now()
    this.sent = this.sent.filter((at) => now - at < 1000)
    if (!this.name || this.sent.length >= MOST || !this.socket.trigger(this.name, 'client-' + name, data)) return false
    this.sent.push(now)
    return true
  }

  members(): Member[] {
    const members: Member[] = []
    if (this.isPresence) this.socket.channel(this.name!)?.members?.each((member: Member) => members.push(member))
    return members
  }

  close() {
    for (const [name, fn] of this.bound) this.channel.unbind(name, fn)
    this.bound.clear()
    this.unsubscribe?.()
    this.unsubscribe = this.channel = this.name = undefined
    this.isPresence = false
  }

  private attach(name: string, fn: (data: any, from?: Sender) => void) {
    if (this.bound.has(name)) return
    this.bound.set(name, fn)
    this.channel.bind(name, fn)
  }
}
