// The guide's hook with the real React and the real package, beside which moving_test.go
// lays this file, with a table and rooms in the test's hands. Each message is shown once,
// whenever it was written.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createElement, StrictMode } from 'react'
import renderer from 'react-test-renderer'
import { useMessages } from './useMessages.js'
import { joined } from './rooms.js'
import { queries } from './supabase.js'

globalThis.IS_REACT_ACT_ENVIRONMENT = true

const act = (fn) => renderer.act(async () => void fn()) // what fn began is for later
const row = (id, content = id) => ({ id, content, created_at: id.toLowerCase() })
/** A query answers with what was there when it began. */
const answer = (query, ...ids) => act(() => query.answer({ data: ids.map((id) => row(id)) }))

test('from the first query to the events', async () => {
  let value, root
  const Hook = () => (value = useMessages('r'), null)
  await act(() => { root = renderer.create(createElement(StrictMode, null, createElement(Hook))) })
  const shown = () => value.map((m) => m.content).join()
  const [left, room] = joined // strict mode
  assert.deepEqual([left.left, room.left], [true, undefined])
  await answer(queries.at(-1), 'a', 'b')
  assert.equal(shown(), 'a,b')

  await act(() => room.tell('live')) // c was written before, and b deleted
  const second = queries.at(-1)
  await act(() => {
    room.tell('new-message', row('d'))
    room.tell('message-updated', row('a', 'A'))
    room.tell('new-message', row('e'))
    room.tell('message-deleted', { id: 'e' })
  })
  await answer(second, 'a', 'c', 'd', 'e')
  assert.equal(shown(), 'A,c,d')

  await act(() => room.tell('reset', { reason: 'window' }))
  await act(() => room.tell('reset', { reason: 'epoch' }))
  const [older, newest] = queries.slice(-2)
  await answer(newest, 'c', 'f')
  await answer(older, 'c')
  assert.equal(shown(), 'c,f')
  await act(() => root.unmount())
  assert.equal(room.left, true)
})
