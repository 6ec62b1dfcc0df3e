// The example's hook, with the real client: nothing falls between the table and the events.
import assert from 'node:assert/strict'
import { register } from 'node:module'
import { afterEach, test } from 'node:test'
import { mount } from './react.js'
import { closeAll, fresh, live, page, world } from './world.js'

const react = new URL('./react.js', import.meta.url).href
register('data:text/javascript,' + encodeURIComponent(
  `export const resolve = (name, context, next) => next(name === 'react' ? '${react}' : name, context)`))
const { useRoom } = await import('../example/useRoom.js')

afterEach(closeAll)

/** The messages' table by supabase-js: a query finds what is there when it begins. */
function createTable() {
  const rows = []
  let answer = async (found) => ({ data: found })
  const query = { select: () => query, eq: () => query, order: () => query, limit: () => answer(rows.toReversed()) }
  return {
    from: () => query,
    /** What queries do from now on, instead of finding the rows. */
    answers: (fn) => answer = fn,
    /** A message, or what becomes of it, in the table and on its way to the room. */
    async write(room, id, content) {
      const at = rows.findIndex((m) => m.id === id), Op = at < 0 ? 'INSERT' : content ? 'UPDATE' : 'DELETE'
      rows.splice(at < 0 ? rows.length : at, +(at >= 0), ...content ? [{ id, content }] : [])
      await world('commit', { Room: room, Op, ID: id, Content: content })
    },
  }
}

const shown = ({ messages }) => messages.map((m) => m.content).join()

/** The hook, whose room hears nothing until `start` is called; it resolves when it is live. */
async function mounted(table, room) {
  let start, handle
  const gate = new Promise((done) => start = done)
  const { access_token } = await world('login', { User: fresh('user') })
  const { rooms } = await page({ token: async () => (await gate, access_token), settle: 0 })
  const joining = { join: (id) => handle = rooms.join(id) }
  const hook = mount(() => useRoom(joining, table, room))
  return { hook, start: () => (start(), live(handle)), status: () => handle.status }
}

test('what is written between the first query and the start of the room is shown, once', async () => {
  const table = createTable(), room = fresh('room')
  const { hook, start } = await mounted(table, room)
  await hook.until((v) => v.status === 'ready')
  await table.write(room, 'a', 'early')
  await start()
  await table.write(room, 'b', 'late')
  await hook.until((v) => shown(v).includes('late'))
  assert.equal(shown(hook.value), 'early,late')
})

test('so are the edits and deletions of that time', async () => {
  const table = createTable(), room = fresh('room')
  await table.write(room, 'a', 'one')
  await table.write(room, 'b', 'two')
  const { hook, start } = await mounted(table, room)
  await hook.until((v) => shown(v) === 'one,two')
  await table.write(room, 'a', 'ONE')
  await table.write(room, 'b')
  await start()
  await table.write(room, 'c', 'three')
  await hook.until((v) => shown(v).includes('three'))
  assert.equal(shown(hook.value), 'ONE,three')
})

test('an answer that comes late brings nothing back', async () => {
  const table = createTable(), room = fresh('room'), answers = []
  await table.write(room, 'a', 'one')
  await table.write(room, 'b', 'two')
  table.answers((found) => new Promise((done) => answers.push(() => done({ data: found }))))
  const { hook, start, status } = await mounted(table, room)
  await table.write(room, 'a') // behind the query's back
  await start()
  await table.write(room, 'c', 'three')
  await hook.until((v) => shown(v) === 'three')
  const [, older, newest] = answers // strict mode's first room has asked, too
  await table.write(room, 'b') // behind the newest query's back; then its event
  await table.write(room, 'd', 'four')
  await hook.until((v) => shown(v) === 'three,four')
  newest()
  await hook.until((v) => v.status === 'ready')
  older()
  await new Promise(setImmediate)
  assert.equal(shown(hook.value), 'three,four')
  hook.unmount()
  assert.equal(status(), 'left')
})
