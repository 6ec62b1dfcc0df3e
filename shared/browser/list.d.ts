// Built from shared/browser/src by `go generate ./shared/browser`: edit there.
import type { AnyRow, JoinOptions, Room, Roomcast, Status } from './roomcast.js';
export interface ListOptions<R = AnyRow> {
    /** Reads rows from their table: the newest `limit` ones, of those before `before` if it is given. In any order. */
    load: (range: {
        limit: number;
        before?: R;
    }) => Promise<R[]>;
    /** Writes a row of `send` to its table; rejects if that is refused. */
    write?: (row: R) => Promise<unknown>;
    /** Which table's: 'message' by default; 'reaction' for new-reaction and so on. */
    name?: string;
    /** What identifies a row. Default row.id. */
    id?: (row: any) => unknown;
    /** The order, oldest first. Default by created_at, then id. */
    compare?: (a: R, b: R) => number;
    /** Rows of a page. Default 50. */
    limit?: number;
    /** For the room itself. */
    join?: JoinOptions;
}
export interface ListView<R = AnyRow> {
    /** Oldest first; what is being sent comes last. */
    rows: R[];
    /** `loading` until the first rows are there; `failed` if the last load did; `denied` for who may not read the room. */
    status: 'loading' | 'ready' | 'failed' | 'denied';
    /** Rows that are being sent, by id; with `error` if they were refused. */
    sending: ReadonlyMap<unknown, {
        row: R;
        error?: unknown;
    }>;
    /** There may be older rows: see `loadOlder`. */
    hasOlder: boolean;
    isLoadingOlder: boolean;
    /** How events come just now. */
    connection: Status['status'];
}
/** What a page does with the list. */
export interface List<R = AnyRow> {
    get(): ListView<R>;
    /** Calls fn after each change. The room is joined while somebody listens. */
    subscribe(fn: () => void): () => void;
    /** Other functions from now on. */
    configure(options: ListOptions<R>): void;
    loadOlder(): Promise<void>;
    /** Shows the row at once and writes it; its event takes its place. The id is the page's, such as crypto.randomUUID(). */
    send(row: R): Promise<void>;
    /** Writes a refused row again. */
    retry(id: unknown): Promise<void>;
    /** Shows a refused row no more. */
    discard(id: unknown): void;
    /** The room itself, for signals and members; undefined while nobody listens. */
    room(): Room | undefined;
}
export declare const EMPTY: ListView<any>;
export declare function createList<R = AnyRow>(rooms: Roomcast<any> | null | undefined, room: string | number, options: ListOptions<R>): List<R>;
