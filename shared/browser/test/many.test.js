// A page with 200 rooms: few requests at its start and after a cut.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { closeAll, fresh, live, page, pause, until, watch, world } from './world.js'

afterEach(closeAll)

test('200 rooms: three authorizations and one question for where they are, for each hundred', async (t) => {
  const p = await page({ settle: 0 }), ids = Array.from({ length: 200 }, () => fresh('room'))
  await world('counts', { Reset: true })
  const began = Date.now()
  const rooms = ids.map((id) => p.rooms.join(id)), seen = rooms.map(watch)
  await Promise.all(rooms.map((room) => live(room)))
  const slow = Math.floor((Date.now() - began) / 250) // on a busy machine subscriptions trickle in
  const start = await world('counts', { Reset: true })
  t.diagnostic(JSON.stringify(start))
  assert.ok(start['/pusher/auth/batch'] <= 2 && start['/pusher/user-auth'] === 1 && !start['/pusher/auth'], JSON.stringify(start))
  assert.ok(start['/events'] <= 3 + slow && !start['/rooms/{room}/events'], JSON.stringify(start))

  await world('cut')
  for (const Room of ids.slice(0, 20)) await world('commit', { Room, N: 1 })
  await Promise.all(seen.slice(0, 20).map((s) => s.numbers(1, 1)))
  await until(() => ids.every((id) => p.pusher.channel(`private-room-${id}`).subscribed), 'all are back')
  await pause(500)
  const again = await world('counts')
  t.diagnostic(JSON.stringify(again))
  assert.ok(again['/pusher/auth/batch'] <= 2 && again['/pusher/user-auth'] === 1, JSON.stringify(again))
  assert.ok(again['/events'] + (again['/rooms/{room}/events'] ?? 0) <= 4 + slow, JSON.stringify(again)) // a room that is let in late asks alone
})

test('one refused room among many is denied, the others are heard', async () => {
  const p = await page({ settle: 0 }), ids = Array.from({ length: 10 }, () => fresh('room'))
  await world('deny', { Room: ids[3], On: true })
  const rooms = ids.map((id) => p.rooms.join(id)), seen = rooms.map(watch)
  await Promise.all(rooms.map((room, i) => live(room, i === 3 ? 'denied' : 'live')))
  for (const Room of ids) await world('commit', { Room, N: 1 })
  await Promise.all(seen.map((s, i) => i === 3 || s.numbers(1, 1)))
  assert.deepEqual(seen[3].seen, ['denied'])
})

test('a function without the new routes is asked for each by itself', async (t) => {
  const real = globalThis.fetch, gone = []
  t.mock.method(globalThis, 'fetch', (address, init) => {
    const { pathname } = new URL(address)
    if (!['/events', '/pusher/auth/batch'].includes(pathname)) return real(address, init)
    gone.push(pathname)
    return Promise.resolve(new Response('', { status: 404 }))
  })
  const p = await page({ settle: 0 }), ids = Array.from({ length: 4 }, () => fresh('room'))
  const rooms = ids.map((id) => p.rooms.join(id)), seen = rooms.map(watch)
  await Promise.all(rooms.map((room) => live(room)))
  for (const Room of ids) await world('commit', { Room, N: 1 })
  await Promise.all(seen.map((s) => s.numbers(1, 1)))
  assert.deepEqual(gone.sort(), ['/events', '/pusher/auth/batch'])
})

test('twenty rooms with hundreds of events each: one answer does not hold them, and all come', async () => {
  const p = await page({ settle: 0 }), ids = Array.from({ length: 20 }, () => fresh('room'))
  for (const Room of ids) await world('commit', { Room, N: 150, Lose: 1 })
  const errors = []
  const seen = ids.map((id) => {
    const room = p.rooms.join(id, { after: 0 })
    room.on('error', (err) => errors.push(err.message))
    return watch(room)
  })
  await Promise.all(seen.map((s) => s.numbers(1, 150)))
  assert.deepEqual(errors, [])
})
