// useRoom with the real React, the real client and a table that answers late or not at
// all; see react18.test.js and react19.test.js.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { createElement, StrictMode, version } from 'react'
import renderer from 'react-test-renderer'
import { useRoom } from '../react.js'
import { closeAll, fresh, live, page, pause, until, world } from './world.js'

globalThis.IS_REACT_ACT_ENVIRONMENT = true
const { error } = console // events come when they come, and the renderer is called deprecated
console.error = (text, ...more) => /act\(|deprecated/.test(text) || error(text, ...more)

/** The messages' table: a query finds what is there when it begins. */
function createTable() {
  const rows = []
  let answer = async (found) => found
  let refuse = false
  return {
    rows,
    queries: 0,
    load({ limit, before }) {
      this.queries++
      const older = before ? rows.filter((m) => m.created_at < before.created_at) : rows
      return answer(older.slice(-limit))
    },
    /** What queries do from now on. */
    answers: (fn) => answer = fn,
    refuses: (on) => refuse = on,
    /** A message, or what becomes of it, in the table and on its way to the room. */
    async write(room, id, content) {
      if (refuse) throw new Error('refused')
      const at = rows.findIndex((m) => m.id === id), Op = at < 0 ? 'INSERT' : content ? 'UPDATE' : 'DELETE'
      const created_at = rows[at]?.created_at ?? new Date(Date.now() + rows.length).toISOString()
      rows.splice(at < 0 ? rows.length : at, +(at >= 0), ...content ? [{ id, content, created_at }] : [])
      await world('commit', { Room: room, Op, ID: id, Content: content, At: Op === 'UPDATE' || Op === 'INSERT' ? created_at.replace('Z', '000+00:00') : undefined })
    },
  }
}

const shown = ({ rows }) => rows.map((m) => m.content).join()

/** The hook in strict mode, whose room hears nothing until start is called. */
async function mounted(t, table, id, options) {
  let start
  const gate = new Promise((done) => start = done)
  const { access_token } = await world('login', { User: fresh('user') })
  const { rooms } = await page({ token: async () => (await gate, access_token), settle: 0 })
  const handles = []
  const counted = { ...rooms, join: (...args) => (handles.push(rooms.join(...args)), handles.at(-1)), on: rooms.on, get status() { return rooms.status } }
  const hook = { value: undefined, renders: 0 }
  function Component() {
    hook.value = useRoom(counted, id, { load: (range) => table.load(range), write: ({ id: key, content }) => table.write(id, key, content), ...options })
    hook.renders++
    return null
  }
  let root
  await renderer.act(async () => { root = renderer.create(createElement(StrictMode, null, createElement(Component))) })
  t.after(() => renderer.act(() => root.unmount()))
  const until_ = (fits, what = 'view') => until(async () => (await renderer.act(async () => {}), fits(hook.value)), what).catch((err) => { err.message += ': ' + JSON.stringify(hook.value.rows); throw err })
  return { hook, handles, root, until: until_, start: async () => { start(); await live(handles.at(-1)) } }
}

export function cases(major) {
  afterEach(closeAll)

  test('React is ' + major, () => assert.equal(version.split('.')[0], major))

  test('what is written between the first query and the start of the room is shown, once', async (t) => {
    const table = createTable(), room = fresh('room')
    const it = await mounted(t, table, room)
    assert.equal(it.hook.value.status === 'loading' || it.hook.value.status === 'ready', true)
    await it.until((v) => v.status === 'ready')
    await table.write(room, 'a', 'early')
    await it.start()
    await table.write(room, 'b', 'late')
    await it.until((v) => shown(v) === 'early,late')
    await until(() => it.hook.value.connection === 'live', 'live')
  })

  test('so are the edits and deletions of that time', async (t) => {
    const table = createTable(), room = fresh('room')
    await table.write(room, 'a', 'one')
    await table.write(room, 'b', 'two')
    const it = await mounted(t, table, room)
    await it.until((v) => shown(v) === 'one,two')
    await table.write(room, 'a', 'ONE')
    await table.write(room, 'b')
    await it.start()
    await table.write(room, 'c', 'three')
    await it.until((v) => shown(v) === 'ONE,three')
  })

  test('an answer that comes late brings nothing back', async (t) => {
    const table = createTable(), room = fresh('room'), answers = []
    await table.write(room, 'a', 'one')
    await table.write(room, 'b', 'two')
    table.answers((found) => new Promise((done) => answers.push(() => done(found))))
    const it = await mounted(t, table, room)
    await table.write(room, 'a') // behind the query's back
    await it.start()
    await table.write(room, 'c', 'three')
    await it.until((v) => shown(v) === 'three')
    await table.write(room, 'b') // behind the newest query's back; then its event
    await table.write(room, 'd', 'four')
    await it.until((v) => shown(v) === 'three,four')
    answers.at(-1)()
    await it.until((v) => v.status === 'ready')
    answers.slice(0, -1).forEach((answer) => answer())
    await pause(20)
    await it.until((v) => shown(v) === 'three,four')
  })

  test('paging upwards; an edit of what is not loaded stays where it belongs', async (t) => {
    const table = createTable(), room = fresh('room')
    for (let i = 1; i <= 7; i++) await table.write(room, 'm' + i, String(i))
    const it = await mounted(t, table, room, { limit: 3 })
    await it.start()
    await it.until((v) => shown(v) === '5,6,7' && v.hasOlder)
    await table.write(room, 'm1', 'one')
    await table.write(room, 'm6', 'six')
    await it.until((v) => shown(v) === '5,six,7')
    await renderer.act(() => it.hook.value.loadOlder())
    assert.equal(shown(it.hook.value), '2,3,4,5,six,7')
    await renderer.act(() => it.hook.value.loadOlder())
    assert.equal(shown(it.hook.value), 'one,2,3,4,5,six,7')
    assert.equal(it.hook.value.hasOlder, false)
  })

  test('what is sent is shown at once, and its event takes its place; what is refused says so', async (t) => {
    const table = createTable(), room = fresh('room')
    const it = await mounted(t, table, room)
    await it.start()
    await it.until((v) => v.status === 'ready')
    await renderer.act(async () => { void it.hook.value.send({ id: 'own', content: 'hello', created_at: '2026-01-01' }) })
    assert.equal(shown(it.hook.value), 'hello')
    await it.until((v) => !v.sending.size, 'sent')
    assert.deepEqual(it.hook.value.rows.map((m) => [m.content, !!m.roomcast]), [['hello', true]])
    table.refuses(true)
    await renderer.act(() => it.hook.value.send({ id: 'no', content: 'again' }))
    assert.equal(it.hook.value.sending.get('no').error.message, 'refused')
    assert.equal(shown(it.hook.value), 'hello,again')
    table.refuses(false)
    await renderer.act(() => it.hook.value.retry('no'))
    await it.until((v) => !v.sending.size && shown(v) === 'hello,again')
    table.refuses(true)
    await renderer.act(() => it.hook.value.send({ id: 'never', content: 'gone' }))
    await renderer.act(() => it.hook.value.discard('never'))
    assert.equal(shown(it.hook.value), 'hello,again')
  })

  test('strict mode leaves its first room, unmounting the second; a reset loads again', async (t) => {
    const table = createTable(), room = fresh('room')
    const it = await mounted(t, table, room)
    await it.start()
    await table.write(room, 'a', 'one')
    await it.until((v) => shown(v) === 'one')
    const loads = table.queries
    table.rows.length = 0
    await world('commit', { Room: room, Name: 'bulk-change', Data: { name: 'message', op: 'DELETE', count: 900 } })
    await it.until((v) => shown(v) === '' && v.status === 'ready', 'loaded again')
    assert.ok(table.queries > loads)
    await renderer.act(() => it.root.unmount())
    assert.deepEqual(it.handles.map((h) => h.status), it.handles.map(() => 'left'))
    assert.ok(it.handles.length >= 1)
  })

  test('on a server there are no rooms, and nothing happens', async (t) => {
    let value
    const Component = () => (value = useRoom(null, 'r', { load: () => assert.fail('loaded') }), null)
    let root
    await renderer.act(async () => { root = renderer.create(createElement(Component)) })
    t.after(() => renderer.act(() => root.unmount()))
    assert.deepEqual([value.rows, value.status], [[], 'loading'])
  })
}
