// The types that an app uses. roomcast.d.ts is made from this file.

/** Which way messages come: before, during and after the move. */
export type Mode = 'supabase' | 'both' | 'pusher'

/**
 * The kinds of channel a room has; see ROOM_CHANNELS. In a 'packed' channel, events that
 * waited together share one of Pusher's messages; the room passes them to the app one by
 * one, like all others.
 */
export type ChannelKind = 'private' | 'presence' | 'encrypted' | 'public' | 'packed'

/** An event's place in its room; in every event's `roomcast`. */
export interface Position {
  /** From 1, without gaps. */
  seq: number
  /** Changes when the numbering starts again. */
  epoch?: string
  /** When the row was written, by the database's clock. */
  at?: string
}

/** Any table's row. Use your own type instead: createRoomcast<Row>(). */
export type AnyRow = Record<string, any>

/**
 * A row as Postgres wrote it. Rows from Supabase and in forward-only mode have no
 * `roomcast`. A `stub` has only the row's ids, since the row is too large to be sent: read
 * it from its table. `old` has the former values of the columns attached with `old`.
 */
export type Row<R = AnyRow> = R & { roomcast?: Position & { stub?: boolean; old?: Partial<R> } }

export type ResetReason = 'window' | 'epoch' | 'repeat' | 'bulk' | 'user'

export interface RoomEvents<R = AnyRow> {
  'new-message': Row<R>
  'message-updated': Row<R>
  /** Only the ids of the deleted message. */
  'message-deleted': Row<Partial<R>>
  'user-joined': Row
  'user-updated': Row
  'user-left': Row
  'user-online': Row
  'user-offline': Row
  /** In the personal channel: something happened in that room. A hint, without a number of its own. */
  'room-activity': { room: string; seq: number; at: string }
  /**
   * The room's status is live: from now on no event is missed. Load the table now. The
   * answer of a query that began earlier may lack rows written just before this, and the
   * room does not bring those. Emitted again after `denied`, and after a `reset` by another
   * `user`.
   */
  live: undefined
  /**
   * Load the table again, as when the page opened; events go on from there. `window`: the
   * page was away for longer than events are kept; `epoch` and `repeat`: the numbering
   * starts again, as after a restore; `bulk`: one statement changed very many rows; `user`:
   * another user signed in.
   */
  reset: { reason: ResetReason; name?: string; op?: string; count?: number }
  /** This user may not read the room. The client asks again when the user changes or the page comes back. */
  denied: undefined
  /** A fetch failed, with its HTTP status if it had one. The client repeats it if that can help. */
  error: Error & { status?: number }
  /** `members` has changed (presence channels). */
  members: Member[]
}

/** Somebody who is connected to a presence channel. */
export interface Member {
  id: string
  info?: any
}

/** Who sent a client event: the id is verified by Pusher, on presence channels only. */
export interface Sender {
  user_id?: string
}

export interface Room<R = AnyRow> {
  readonly id: string
  /** `live`: a source has accepted the subscription, and the room knows where it starts. `rooms.status` is about the connections. */
  readonly status: 'joining' | 'live' | 'denied' | 'left'
  /** Which way the room's messages come now; undefined until that is known. */
  readonly mode: Mode | undefined
  /** Who is connected now; empty without a presence channel. */
  readonly members: Member[]
  /**
   * Calls fn for each event of this name: those of RoomEvents, those of any attached table
   * ('new-reaction'), those sent from SQL, and other users' signals ('client-typing').
   * '*' means all of them but signals. Returns a function that removes fn. Never calls fn at once.
   */
  on<K extends keyof RoomEvents<R>>(name: K, fn: (data: RoomEvents<R>[K], name: K) => void): () => void
  on(name: '*', fn: (data: any, name: string) => void): () => void
  on<D = any>(name: string, fn: (data: D, name: string, from?: Sender) => void): () => void
  /**
   * Sends a signal to the other listeners: send('typing') is heard as 'client-typing'. It
   * goes from browser to browser through Pusher, where client events must be enabled. At
   * most ten are sent a second, and none is sent late: returns false if it was not sent now.
   */
  send(name: string, data?: unknown): boolean
  /**
   * Call it after this page has written to the room. If the event (with this key, if one
   * is given) does not come within seconds, the client fetches it, and treats Pusher as
   * away until it delivers again.
   */
  expect(key?: unknown): void
  leave(): void
}

/**
 * Why numbers did not come. `void`: the history has no events under them, since their rows
 * were deleted by hand or this user may not read them. `missing`: they had not come two
 * minutes after a later number; if they come after all, that is reported as well. `window`:
 * the page was away for longer than events are kept, and the app loads its table again.
 */
export type Loss = 'void' | 'missing' | 'window'

/**
 * An event came to a room, by Pusher or by Supabase. If both bring the same change, both
 * arrivals have the same `event` object. `how`: it was `fetched` over HTTP; it came `again`
 * and was dropped (`event` then has only its name, and its seq if it has one); or it is a
 * [Loss] of so many `numbers`, from the event's seq on. Without `how` it was pushed.
 */
export interface Arrival {
  room: string
  mode: Mode
  side: 'pusher' | 'supabase'
  event: { readonly name: string; readonly seq?: number; readonly commit?: string; readonly data?: Row; readonly at?: string }
  how?: 'fetched' | 'again' | Loss
  numbers?: number
  /** The client's status, and since when this room is live, by this machine's clock. */
  status?: Status['status']
  live?: number
}

/** How events come to this page at the moment. */
export interface Status {
  /**
   * `live`: Pusher pushes them. `polling`: Pusher is away or refuses them, and the client
   * asks the function every few seconds while the page is visible. `supabase`: Supabase
   * Realtime brings them. `offline`: none of these; also at the start.
   */
  status: 'live' | 'polling' | 'supabase' | 'offline'
  /** Since when, by this machine's clock, in ms. */
  since: number
}

export interface Options<R = AnyRow> {
  /** The app's own pusher-js 8. Roomcast replaces its authorization of rooms' channels and its sign-in. */
  pusher: any
  /** The app's own supabase-js 2: for sessions, and for Realtime in the modes that use it. */
  supabase?: any
  /** The function's address, without a slash at the end. */
  url: string
  /** The mode of all rooms. Without it the function decides: the client reads GET /roomcast.json, and again when the page comes back. */
  mode?: Mode
  /** Returns the user's access token, instead of supabase's; with renew, a newer one than the last. With another user's token the rooms start over. */
  token?: (renew?: boolean) => Promise<string | undefined> | string | undefined
  /** The kind of channel that rooms listen to. Default 'private'. */
  channel?: ChannelKind
  /** The messages table, for Realtime. Defaults: 'public', 'messages', 'room_id'. */
  schema?: string
  table?: string
  roomColumn?: string
  /** The user column of the members table. Default 'user_id'. */
  userColumn?: string
  /** What identifies a message. Default row.id. */
  key?: (row: Row<R>) => unknown
  /** About how many ms after a burst the client checks whether it got all events. Default 20000; 0: no such check. */
  settle?: number
  /** Called for every arrival, in every mode, before the app gets the event. */
  onSeen?: (arrival: Arrival) => void
}

export interface JoinOptions {
  /** The last event that the page already shows (a position, an event, or a seq): the room brings later ones. */
  after?: number | Position | Row
  /** This room's kind of channel, instead of the client's option. */
  channel?: ChannelKind
  /** Also listens to the room's presence channel, for `members` and signals. Messages come by the other channel. */
  presence?: boolean
}

/** A room in the user's list. */
export interface InboxRoom {
  room: string
  /** Empty for a room that never had an event. */
  epoch: string
  /** The last number given, and the last one that the user has read. */
  head: number
  read: number
  /** New messages after that one, up to 1000. */
  unread: number
  /** When the last event that is still kept was written. */
  at?: string
}

export interface Roomcast<R = AnyRow> extends Status {
  /**
   * Starts listening. Without `after` the room starts at its last event when the function
   * answers. Load the table when the room is `live`, not before, and key rows by their id:
   * then no row is missed, and a row that both the table and an event bring is shown once.
   * Joining a room twice gives two independent rooms.
   */
  join(room: string | number, options?: JoinOptions): Room<R>
  /** The signed-in user's own stream: events of tables attached with `users`, and of send_to_user. */
  me(options?: { after?: number | Position | Row }): Room<R>
  /**
   * The rooms of which the user is a member, the latest first, with unread counts, if the
   * function's INBOX is on. Call it at the start, and after 'room-activity' of `me()`.
   */
  inbox(): Promise<InboxRoom[]>
  /** Marks a room as read up to this number, such as that of the last message on the screen. Never goes back. */
  read(room: string | number, seq: number): Promise<void>
  /** Calls fn whenever `status` changes. Returns a function that removes fn. */
  on(name: 'status', fn: (status: Status) => void): () => void
  /** Fetches what may have been missed. Call it when the app comes to the front on platforms without a `document`; browsers need not. */
  wake(): void
  /** Sets the mode of all rooms; undefined: the function decides. No event is lost or repeated by the change. */
  setMode(mode?: Mode): void
  /** Leaves all rooms and stops using pusher, which stays connected. */
  close(): void
}
