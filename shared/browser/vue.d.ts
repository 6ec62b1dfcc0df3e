// Built from shared/browser/src by `go generate ./shared/browser`: edit there.
import { type List, type ListOptions, type ListView } from './list.js';
import type { AnyRow, Roomcast } from './roomcast.js';
export type { List, ListOptions, ListView } from './list.js';
/** Call it in setup(). For another room, use another component (`:key="roomId"`). */
export declare function useRoom<R = AnyRow>(rooms: Roomcast<any>, room: string | number, options: ListOptions<R>): List<R> & {
    view: {
        readonly value: ListView<R>;
    };
};
