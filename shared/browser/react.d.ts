// Built from shared/browser/src by `go generate ./shared/browser`: edit there.
import { type List, type ListOptions, type ListView } from './list.js';
import type { AnyRow, Roomcast } from './roomcast.js';
export type { List, ListOptions, ListView } from './list.js';
export interface RoomView<R = AnyRow> extends ListView<R>, Pick<List<R>, 'loadOlder' | 'send' | 'retry' | 'discard' | 'room'> {
}
/** A room's rows as they are now, and what to do with them. The functions stay the same ones while the room does. */
export declare function useRoom<R = AnyRow>(rooms: Roomcast<any> | null | undefined, room: string | number, options: ListOptions<R>): RoomView<R>;
