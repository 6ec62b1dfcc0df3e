// A room in React 18 and 19, the same before, during and after the move:
//
//   const { rows, status, send, loadOlder } = useRoom<Message>(rooms, roomId, { load, write })
//
// rooms is made once, in the browser: see createRoomcast. On a server it is null, and the
// view is an empty one that loads. In strict mode the first of two rooms is left at once.

import { useEffect, useMemo, useSyncExternalStore } from 'react'
import { createList, EMPTY, type List, type ListOptions, type ListView } from './list.js'
import type { AnyRow, Roomcast } from './types.js'

export type { List, ListOptions, ListView } from './list.js'

export interface RoomView<R = AnyRow> extends ListView<R>, Pick<List<R>, 'loadOlder' | 'send' | 'retry' | 'discard' | 'room'> {}

/** A room's rows as they are now, and what to do with them. The functions stay the same ones while the room does. */
export function useRoom<R = AnyRow>(rooms: Roomcast<any> | null | undefined, room: string | number, options: ListOptions<R>): RoomView<R> {
  const name = options.name
  // The options of the first time; later ones are told to the list below.
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const list = useMemo(() => createList<R>(rooms, room, options), [rooms, room, name])
  useEffect(() => list.configure(options))
  const view = useSyncExternalStore(list.subscribe, list.get, () => EMPTY as ListView<R>)
  const { loadOlder, send, retry, discard } = list
  return useMemo(() => ({ ...view, loadOlder, send, retry, discard, room: list.room }), [view, loadOlder, send, retry, discard, list])
}
