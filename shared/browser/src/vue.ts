// A room in Vue 3: const { view, send, loadOlder } = useRoom(rooms, roomId, { load, write })

import { onScopeDispose, shallowRef } from 'vue'
import { createList, type List, type ListOptions, type ListView } from './list.js'
import type { AnyRow, Roomcast } from './types.js'

export type { List, ListOptions, ListView } from './list.js'

/** Call it in setup(). For another room, use another component (`:key="roomId"`). */
export function useRoom<R = AnyRow>(rooms: Roomcast<any>, room: string | number, options: ListOptions<R>): List<R> & { view: { readonly value: ListView<R> } } {
  const list = createList<R>(rooms, room, options)
  const view = shallowRef(list.get())
  onScopeDispose(list.subscribe(() => view.value = list.get()))
  return { ...list, view }
}
