// The guide's hook, beside which moving_test.go lays this file, with a table and rooms in
// the test's hands. Each message is shown once, whenever it was written.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mount } from 'react' // the stand-in of shared/browser/test
import { useMessages } from './useMessages.js'
import { joined } from './rooms.js'
import { queries } from './supabase.js'

/** A query answers with what was there when it began. */
const answer = async (query, ...ids) => {
  query.answer({ data: ids.map((id) => ({ id, content: id })) })
  await new Promise(setImmediate)
}
const message = (id, content = id) => ({ id, content })

test('from the first query to the events', async () => {
  const hook = mount(() => useMessages('r'))
  const shown = () => hook.value.map((m) => m.content).join()
  const [left, room] = joined // strict mode
  assert.deepEqual([left.left, room.left], [true, undefined])
  const [, first] = queries
  await answer(first, 'a', 'b')
  assert.equal(shown(), 'a,b')

  room.tell('live') // c was written before, and b deleted
  const second = queries[2]
  room.tell('new-message', message('d'))
  room.tell('message-updated', message('a', 'A'))
  room.tell('new-message', message('e'))
  room.tell('message-deleted', { id: 'e' })
  await answer(second, 'a', 'c', 'd', 'e')
  assert.equal(shown(), 'A,c,d')

  room.tell('reset', { reason: 'window' })
  room.tell('reset', { reason: 'epoch' })
  const [older, newest] = queries.slice(3)
  await answer(newest, 'c', 'f')
  await answer(older, 'c')
  assert.equal(shown(), 'c,f')
  hook.unmount()
  assert.equal(room.left, true)
})
