// A room in Svelte: const room = roomStore(rooms, roomId, { load, write }); then {#each $room.rows as …}

import { createList, type List, type ListOptions, type ListView } from './list.js'
import type { AnyRow, Roomcast } from './types.js'

export type { List, ListOptions, ListView } from './list.js'

/** A store by Svelte's contract. The room is joined while somebody subscribes. */
export function roomStore<R = AnyRow>(rooms: Roomcast<any>, room: string | number, options: ListOptions<R>): Omit<List<R>, 'subscribe'> & { subscribe(fn: (view: ListView<R>) => void): () => void } {
  const list = createList<R>(rooms, room, options)
  return {
    ...list,
    subscribe(fn) {
      const off = list.subscribe(() => fn(list.get()))
      fn(list.get())
      return off
    },
  }
}
