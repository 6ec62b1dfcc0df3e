// A room's messages by Supabase Realtime.

import { backoff, Timers } from './platform.js'
import type { Options } from './types.js'

const NAMES: Record<string, string> = { INSERT: 'new-message', UPDATE: 'message-updated', DELETE: 'message-deleted' }

export interface StreamEvents {
  /** Changes flow from here on. */
  live(): void
  /** number: which of the room's streams; each reconnect begins another, after a hole. */
  event(name: string, row: any, commit: string, number: number): void
}

export class Stream {
  isLive = false
  private source: any
  private tries = 0
  private closed = false
  private timers = new Timers()

  constructor(private options: Options, private room: string, private numbers: { last: number }, private events: StreamEvents) {
    this.open()
  }

  close() {
    this.closed = true
    this.timers.end()
    this.options.supabase.removeChannel(this.source)
  }

  private open() {
    const { supabase, schema = 'public', table = 'messages', roomColumn = 'room_id' } = this.options
    const filter = `${roomColumn}=eq.${this.room}`
    this.source = supabase.channel('roomcast' + Math.random())
      .on('postgres_changes', { event: '*', schema, table, filter }, (change: any) => this.changed(change))
      // says that changes flow; SUBSCRIBED comes before
      .on('system', {}, (message: any) => this.told(message))
      .subscribe((status: string) => this.moved(status))
  }

  private changed(change: any) {
    const row = change.eventType === 'DELETE' ? change.old : change.new
    if (!this.closed) this.events.event(NAMES[change.eventType], row, change.commit_timestamp, this.numbers.last)
  }

  private told({ extension, status }: any) {
    if (this.closed || extension !== 'postgres_changes' || status !== 'ok') return
    this.isLive = true
    this.tries = 0
    this.events.live()
  }

  private moved(status: string) {
    this.numbers.last++
    this.isLive = false
    // its token has expired, and supabase-js does not open it again
    if (status === 'CLOSED' && !this.closed) this.timers.start('open', backoff(this.tries++, 30_000), () => this.open())
  }
}
