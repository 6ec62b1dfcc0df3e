// Built from shared/browser/src by `go generate ./shared/browser`: edit there.
import type { AnyRow, JoinOptions, Room, Roomcast, Status } from './roomcast.js';
export interface ListOptions<R = AnyRow> {
    /** Reads rows from their table: the newest `limit` rows, or those before `before`, in any order. */
    load: (range: {
        limit: number;
        before?: R;
    }) => Promise<R[]>;
    /** Writes a row given to `send` to its table; rejects if the database refuses it. */
    write?: (row: R) => Promise<unknown>;
    /** The name in the table's events: 'message' by default; 'reaction' for new-reaction and so on. */
    name?: string;
    /** What identifies a row. Default row.id. */
    id?: (row: any) => unknown;
    /** The order, oldest first. Default by created_at, then id. */
    compare?: (a: R, b: R) => number;
    /** Rows in a page. Default 50. */
    limit?: number;
    /** Options for `rooms.join`. */
    join?: JoinOptions;
}
export interface ListView<R = AnyRow> {
    /** Oldest first; rows that are being sent come last. */
    rows: R[];
    /** `loading` until the first rows are there; `failed` if the last load failed; `denied` if the user may not read the room. */
    status: 'loading' | 'ready' | 'failed' | 'denied';
    /** Rows that are being sent, by id; with `error` if the database refused them. */
    sending: ReadonlyMap<unknown, {
        row: R;
        error?: unknown;
    }>;
    /** There may be older rows: see `loadOlder`. */
    hasOlder: boolean;
    isLoadingOlder: boolean;
    /** How events come at the moment: the client's status. */
    connection: Status['status'];
}
/** A list of rows that a page shows and changes. */
export interface List<R = AnyRow> {
    get(): ListView<R>;
    /** Calls fn after each change. The list joins the room while it has a subscriber. */
    subscribe(fn: () => void): () => void;
    /** Replaces the options. */
    configure(options: ListOptions<R>): void;
    loadOlder(): Promise<void>;
    /** Shows the row at once and writes it; its event replaces it. The page makes the id, as with crypto.randomUUID(). */
    send(row: R): Promise<void>;
    /** Writes a refused row again. */
    retry(id: unknown): Promise<void>;
    /** Removes a refused row from the list. */
    discard(id: unknown): void;
    /** The room itself, for signals and members; undefined without a subscriber. */
    room(): Room | undefined;
}
export declare const EMPTY: ListView<any>;
export declare function createList<R = AnyRow>(rooms: Roomcast<any> | null | undefined, room: string | number, options: ListOptions<R>): List<R>;
