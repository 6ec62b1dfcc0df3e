// Built from shared/browser/src by `go generate ./shared/browser`: edit there.
import { type List, type ListOptions, type ListView } from './list.js';
import type { AnyRow, Roomcast } from './roomcast.js';
export type { List, ListOptions, ListView } from './list.js';
/** A store by Svelte's contract. The room is joined while somebody subscribes. */
export declare function roomStore<R = AnyRow>(rooms: Roomcast<any>, room: string | number, options: ListOptions<R>): Omit<List<R>, 'subscribe'> & {
    subscribe(fn: (view: ListView<R>) => void): () => void;
};
