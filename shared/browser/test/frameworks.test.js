// The Vue composable and the Svelte store: both show what the list has, and leave the room.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { effectScope } from 'vue'
import { roomStore } from '../svelte.js'
import { useRoom } from '../vue.js'
import { closeAll, fresh, page, until, world } from './world.js'

afterEach(closeAll)

/** A page whose joined rooms are kept, to see that they are left. */
async function recorded() {
  const { rooms } = await page({ settle: 0 }), joined = []
  const join = (...args) => (joined.push(rooms.join(...args)), joined.at(-1))
  return { joined, rooms: { join, on: rooms.on, get status() { return rooms.status } } }
}

const load = async () => []

test('Vue: the view follows the room, until its scope ends', async () => {
  const { rooms, joined } = await recorded(), id = fresh('room'), scope = effectScope()
  const { view, send } = scope.run(() => useRoom(rooms, id, { load, write: ({ id: ID }) => world('commit', { Room: id, Op: 'INSERT', ID, Content: ID }) }))
  await until(() => joined[0].status === 'live' && view.value.status === 'ready', 'live')
  await world('commit', { Room: id, N: 1 })
  await until(() => view.value.rows.map((m) => m.content).join() === '1', 'shown')
  await send({ id: 'own', created_at: new Date().toISOString() })
  await until(() => !view.value.sending.size && view.value.rows.length === 2, 'sent')
  scope.stop()
  assert.equal(joined[0].status, 'left')
})

test('Svelte: a store by its contract', async () => {
  const { rooms, joined } = await recorded(), id = fresh('room'), views = []
  const store = roomStore(rooms, id, { load })
  assert.equal(joined.length, 0) // nobody listens yet
  const off = store.subscribe((view) => views.push(view))
  assert.equal(views.length > 0, true) // at once, as the contract has it
  await until(() => joined[0].status === 'live', 'live')
  await world('commit', { Room: id, N: 2 })
  await until(() => views.at(-1).rows.map((m) => m.content).join() === '1,2', 'shown')
  off()
  assert.equal(joined[0].status, 'left')
  assert.deepEqual(store.get().rows, [])
})
