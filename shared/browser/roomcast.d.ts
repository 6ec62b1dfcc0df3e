// Built from shared/browser/src by `go generate ./shared/browser`: edit there.
/** Which way messages come: before, during and after the move. */
export type Mode = 'supabase' | 'both' | 'pusher';
/**
 * The kinds of channel a room has; see ROOM_CHANNELS. In 'packed' ones events that
 * waited together come together, which is fewer of Pusher's messages; a room hands
 * them to the app one by one, like all others.
 */
export type ChannelKind = 'private' | 'presence' | 'encrypted' | 'public' | 'packed';
/** A number's place in its room; in every event's `roomcast`. */
export interface Position {
    /** From 1, without gaps. */
    seq: number;
    /** Changes when the numbering starts again. */
    epoch?: string;
    /** When the row was written, by the database's clock. */
    at?: string;
}
/** Any table's row. Give your own type to createRoomcast<Row>() in its place. */
export type AnyRow = Record<string, any>;
/**
 * A row as Postgres wrote it. `roomcast` is absent in what came from Supabase and in
 * forward-only mode. A `stub` holds the row's ids only: the row is too large to be sent;
 * read it from its table. `old` has the former values of the columns attached for that.
 */
export type Row<R = AnyRow> = R & {
    roomcast?: Position & {
        stub?: boolean;
        old?: Partial<R>;
    };
};
export type ResetReason = 'window' | 'epoch' | 'repeat' | 'bulk' | 'user';
export interface RoomEvents<R = AnyRow> {
    'new-message': Row<R>;
    'message-updated': Row<R>;
    /** Nothing but the ids of the message that is gone. */
    'message-deleted': Row<Partial<R>>;
    'user-joined': Row;
    'user-updated': Row;
    'user-left': Row;
    'user-online': Row;
    'user-offline': Row;
    /** In the personal channel: something happened in that room. A hint, without a number of its own. */
    'room-activity': {
        room: string;
        seq: number;
        at: string;
    };
    /**
     * The room's status is live: from here on no event is missed. Load the table now. What
     * a query found that began before may lack what was written just before this; the room
     * starts behind that. Comes again after `denied`, and after a `reset` by another `user`.
     */
    live: undefined;
    /**
     * What is shown must be loaded again, from the table, as when the page opened; events
     * go on from there. `window`: away for longer than events are kept; `epoch` and
     * `repeat`: the numbering starts again, as after a restore; `bulk`: one statement
     * changed very many rows; `user`: another user signed in.
     */
    reset: {
        reason: ResetReason;
        name?: string;
        op?: string;
        count?: number;
    };
    /** The function refuses this user the room. It is asked again when the user changes or the page comes back. */
    denied: undefined;
    /** A fetch failed, with its HTTP status if it had one. It is repeated where that makes sense. */
    error: Error & {
        status?: number;
    };
    /** Who is there has changed (presence channels): see `members`. */
    members: Member[];
}
/** Somebody who is connected to a presence channel. */
export interface Member {
    id: string;
    info?: any;
}
/** Who sent a client event: the id is verified by Pusher, on presence channels only. */
export interface Sender {
    user_id?: string;
}
export interface Room<R = AnyRow> {
    readonly id: string;
    /** `live`: a source has let it in, and the room knows where it starts. How the connections are just now is told by `rooms.status`. */
    readonly status: 'joining' | 'live' | 'denied' | 'left';
    /** Which way its messages come now; undefined until that is known. */
    readonly mode: Mode | undefined;
    /** Who is connected now; empty without a presence channel. */
    readonly members: Member[];
    /**
     * Calls fn for each event of this name: those of RoomEvents, those of any attached table
     * ('new-reaction'), those that SQL sends, and other users' signals ('client-typing').
     * '*' is all of them but signals. Returns a function that ends this. Never calls fn at once.
     */
    on<K extends keyof RoomEvents<R>>(name: K, fn: (data: RoomEvents<R>[K], name: K) => void): () => void;
    on(name: '*', fn: (data: any, name: string) => void): () => void;
    on<D = any>(name: string, fn: (data: D, name: string, from?: Sender) => void): () => void;
    /**
     * A signal to everybody else who listens, such as send('typing'): they hear 'client-typing'.
     * It goes from browser to browser through Pusher, which must allow client events. At
     * most ten a second and never late: it returns false where it could not be sent now.
     */
    send(name: string, data?: unknown): boolean;
    /**
     * This page has written to the room: unless the event (of this key, if one is given)
     * is heard within seconds, the room is asked for it, and Pusher is doubted.
     */
    expect(key?: unknown): void;
    leave(): void;
}
/**
 * Why numbers come by no way. `void`: the history has nothing under them, since their rows
 * were deleted by hand or are not this user's to read. `missing`: they had not come two
 * minutes after a later one; what comes of them still is told, too. `window`: the page was
 * away for longer than events are kept, and the app loads its table again.
 */
export type Loss = 'void' | 'missing' | 'window';
/**
 * Something came to a room, by one side. The same change by the other side has the same
 * `event` object. How: it was `fetched` over HTTP; or it came `again` and was dropped,
 * and `event` tells no more than its name, and its seq if it has one; or it is a [Loss] of
 * so many `numbers`, from the event's seq on, whose name nobody knows. Else it was pushed.
 */
export interface Arrival {
    room: string;
    mode: Mode;
    side: 'pusher' | 'supabase';
    event: {
        readonly name: string;
        readonly seq?: number;
        readonly commit?: string;
        readonly data?: Row;
        readonly at?: string;
    };
    how?: 'fetched' | 'again' | Loss;
    numbers?: number;
    /** How events come to the page, and since when to this room, by this machine's clock. */
    status?: Status['status'];
    live?: number;
}
/** How events come to this page just now. */
export interface Status {
    /**
     * `live`: Pusher pushes them. `polling`: Pusher is away or refuses, and the function is
     * asked every few seconds while the page is visible. `supabase`: Supabase Realtime brings
     * them. `offline`: nobody does; also at the start.
     */
    status: 'live' | 'polling' | 'supabase' | 'offline';
    /** Since when, by this machine's clock, in ms. */
    since: number;
}
export interface Options<R = AnyRow> {
    /** The app's own pusher-js 8. Its authorization of rooms' channels, and its sign-in, become Roomcast's. */
    pusher: any;
    /** The app's own supabase-js 2: sessions, and Realtime in the modes that use it. */
    supabase?: any;
    /** Where the function is, without a slash at the end. */
    url: string;
    /** The mode of all rooms. Without it the function decides: GET /roomcast.json, asked again when the page comes back. */
    mode?: Mode;
    /** The user's access token, in place of supabase's; renew asks for a newer one than the last. Another user's makes the rooms start over. */
    token?: (renew?: boolean) => Promise<string | undefined> | string | undefined;
    /** The kind of channel that rooms are heard by. Default 'private'. */
    channel?: ChannelKind;
    /** The messages' table, for Realtime. Defaults 'public', 'messages', 'room_id'. */
    schema?: string;
    table?: string;
    roomColumn?: string;
    /** The members table's column of the user. Default 'user_id'. */
    userColumn?: string;
    /** What identifies a message. Default row.id. */
    key?: (row: Row<R>) => unknown;
    /** About how many ms after a burst a room is asked whether that was all. Default 20000; 0: nothing is asked while nothing is wrong. */
    settle?: number;
    /** Called for whatever comes, in every mode, before it is shown. */
    onSeen?: (arrival: Arrival) => void;
}
export interface JoinOptions {
    /** The last event the page already shows (a position, an event, or a seq): the room brings what came since. */
    after?: number | Position | Row;
    /** This room's kind of channel, in place of the option's. */
    channel?: ChannelKind;
    /** Listen to the room's presence channel, too, for `members` and signals. Its messages come by the other. */
    presence?: boolean;
}
/** A room in the user's list. */
export interface InboxRoom {
    room: string;
    /** Empty for a room that never had an event. */
    epoch: string;
    /** The last number given, and the last one that the user has read. */
    head: number;
    read: number;
    /** New messages behind that, up to 1000. */
    unread: number;
    /** When the last event that is still kept was written. */
    at?: string;
}
export interface Roomcast<R = AnyRow> extends Status {
    /**
     * Starts listening. Without `after` the room starts where it is when the function
     * answers, so load the table when it is `live`, not before, and key what is shown by the
     * row's id: then nothing falls between the two, and what both bring is there once.
     * Joining a room twice gives two independent rooms.
     */
    join(room: string | number, options?: JoinOptions): Room<R>;
    /** The signed-in user's own stream: what `users` of attached tables and send_to_user address to them. */
    me(options?: {
        after?: number | Position | Row;
    }): Room<R>;
    /**
     * The rooms of which the user is a member, the latest first, with unread counts, where
     * the function's INBOX is on. Ask at the start, and after 'room-activity' of `me()`.
     */
    inbox(): Promise<InboxRoom[]>;
    /** The user has read a room up to this number: that of the last message on the screen. Never goes back. */
    read(room: string | number, seq: number): Promise<void>;
    /** Calls fn whenever `status` changes. Returns a function that ends this. */
    on(name: 'status', fn: (status: Status) => void): () => void;
    /** The page is in front again, or has written: asks for what may have been missed. Browsers need not call it. */
    wake(): void;
    /** Another mode from now on, for all rooms; undefined: the function's choice. Nothing is lost or repeated by this. */
    setMode(mode?: Mode): void;
    /** Leaves all rooms and lets go of pusher, which stays connected. */
    close(): void;
}
/** A room's channel, to bind plain handlers to. Throws a RangeError for a room that has none. */
export declare function channelName(kind: ChannelKind, room: string): string;
/** A user's own channel. Only uuids have one; they are spelled in lower case. */
export declare function userChannelName(user: string): string;
/** Made once for a page, in the browser. On a server (no WebSocket, no user) do not call it. */
export declare function createRoomcast<R = AnyRow>(options: Options<R>): Roomcast<R>;
