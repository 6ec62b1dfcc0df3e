// Roomcast's client: a chat room's events in the browser or in Node, each exactly
// once and in order.
//
//   import { createRoomcast } from 'https://app.fly.dev/roomcast.js'
//
//   const rooms = createRoomcast({ pusher, supabase, url: 'https://app.fly.dev' })
//   const room = rooms.join(roomId)
//   room.on('live', () => loadTheTable())
//   room.on('new-message', (message) => …)
//   room.on('reset', () => loadTheTableAnew())
//   room.leave()
//
// What it guarantees, as long as GET /rooms/{room}/events answers now and then: every
// event from the start on, exactly once, in the order of its number. It does so
// through repeats, reordering, drops, cut connections, sleep, expired tokens and
// connections that the server ended. In the modes 'both' and 'supabase' an event of
// Supabase Realtime may be shown before its number is known; it waits up to two
// seconds to be put in order, and is shown without if Roomcast is away: a client is
// then as well off as with Supabase alone.
//
// What it does not: nothing is polled. A message that is lost inside a connection
// that stays up leaves a gap, which the next message shows. If none follows, it is
// found by the check after the burst (`settle`), or when the page is shown again,
// comes online or reconnects. Only a lone message, lost at rest, waits for one of
// these.

/** Which way messages come: before, during and after the move. */
export type Mode = 'supabase' | 'both' | 'pusher'

/**
 * The kinds of channel a room has; see ROOM_CHANNELS. In 'packed' ones events that
 * waited together come together, which is fewer of Pusher's messages; a room hands
 * them to the app one by one, like all others.
 */
export type ChannelKind = 'private' | 'presence' | 'encrypted' | 'public' | 'packed'

/** A number's place in its room; in every event's `roomcast`. */
export interface Position {
  /** From 1, without gaps. */
  seq: number
  /** Changes when the numbering starts anew. */
  epoch?: string
  /** When the row was written, by the database's clock. */
  at?: string
}

/** A row as Postgres wrote it. `roomcast` is absent in what came from Supabase. */
export type Row = Record<string, any> & { roomcast?: Position & { stub?: boolean } }

export interface Events {
  'new-message': Row
  'message-updated': Row
  /** Nothing but the keys of the message that is gone. */
  'message-deleted': Row
  'user-joined': Row
  'user-left': Row
  'user-online': Row
  'user-offline': Row
  /**
   * The room's status is live: from here on no event is missed. Load the table now. What
   * a query found that began before may lack what was written just before this; the room
   * starts behind that. Comes again after `denied`, and after a `reset` by another `user`.
   */
  live: undefined
  /**
   * What is shown must be loaded anew, from the table, as when the page opened; events
   * go on from there. `window`: away for longer than events are kept; `epoch`: the
   * numbering starts anew, as after a restore; `user`: another user signed in.
   */
  reset: { reason: 'window' | 'epoch' | 'user' }
  /** The function refuses this user the room. It is asked again when the token changes or the page comes back. */
  denied: undefined
  /** A fetch failed, with its HTTP status if it had one. It is repeated where that makes sense. */
  error: Error & { status?: number }
}

export interface Room {
  readonly id: string
  /** `live`: a source has let it in, and the room knows where it starts. How the connections are just now, they tell themselves. */
  readonly status: 'joining' | 'live' | 'denied' | 'left'
  /** Which way its messages come now; undefined until that is known. */
  readonly mode: Mode | undefined
  /** Calls fn for each event; '*' is all of them. Returns a function that ends this. Never calls fn at once. */
  on<K extends keyof Events>(name: K, fn: (data: Events[K], name: K) => void): () => void
  on(name: '*', fn: (data: any, name: keyof Events) => void): () => void
  leave(): void
}

/**
 * Something came to a room, by one side. The same change by the other side has the same
 * `event` object. How: it was `fetched` over HTTP; or it came `again` and was dropped,
 * and `event` tells no more than its name, and its seq if it has one. Else it was pushed. receipts.js makes
 * the dual run's evidence of these.
 */
export interface Sighting {
  room: string
  mode: Mode
  side: 'pusher' | 'supabase'
  event: { readonly name: string; readonly seq?: number; readonly commit?: string; readonly data?: Row; readonly at?: string }
  how?: 'fetched' | 'again'
}

export interface Options {
  /** The app's own pusher-js 8. Its authorization of rooms' channels, and its sign-in, become Roomcast's. */
  pusher: any
  /** The app's own supabase-js 2: sessions, and Realtime in the modes that use it. */
  supabase?: any
  /** Where the function is, without a slash at the end. */
  url: string
  /** The mode of all rooms. Without it the function decides: GET /roomcast.json, asked again when the page comes back. */
  mode?: Mode
  /** The user's access token, in place of supabase's; renew asks for a newer one than the last. */
  token?: (renew?: boolean) => Promise<string | undefined>
  /** The kind of channel that rooms are heard by. Default 'private'. */
  channel?: ChannelKind
  /** The messages' table, for Realtime. Defaults 'public', 'messages', 'room_id'. */
  schema?: string
  table?: string
  roomColumn?: string
  /** What identifies a message. Default row.id. */
  key?: (row: Row) => unknown
  /** About how many ms after a burst a room is asked whether that was all. Default 20000; 0 never. */
  settle?: number
  /** Called for whatever comes, in every mode, before it is shown. */
  onSeen?: (sighting: Sighting) => void
}

export interface Roomcast {
  /**
   * Starts listening. `after` is the last event the page already shows (a position, an
   * event, or a seq): the room brings what came since. Without it the room starts where
   * it is when the function answers, so load the table when it is `live`, not before, and
   * key what is shown by the row's id: then nothing falls between the two, and what both
   * bring is there once. `channel` is this room's kind, in place of the option's.
   * Joining a room twice gives two independent rooms.
   */
  join(room: string | number, options?: { after?: number | Position | Row; channel?: ChannelKind }): Room
  /** Another mode from now on, for all rooms; undefined: the function's choice. Nothing is lost or repeated by this. */
  setMode(mode?: Mode): void
  /** Leaves all rooms and lets go of pusher, which stays connected. */
  close(): void
}

export function createRoomcast(options: Options): Roomcast

/** A room's channel, to bind plain handlers to. Throws a RangeError for a room that has none. */
export function channelName(kind: ChannelKind, room: string): string
