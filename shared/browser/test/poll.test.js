// Pages go on when Pusher refuses what is published: by asking the function.
import assert from 'node:assert/strict'
import { after, afterEach, test } from 'node:test'
import { closeAll, fresh, joined, live, page, pause, until, watch, world } from './world.js'

afterEach(async () => {
  closeAll()
  await world('publish', {})
})
after(closeAll)

const told = (rooms) => {
  const list = []
  rooms.on('status', ({ status, since }) => list.push(status) && assert.ok(since <= Date.now()))
  return list
}

test('Pusher refuses what is published: a page that writes polls, an onlooker too, and both come back', async () => {
  const writer = await joined({ settle: 60000 }), onlooker = await page({ settle: 500 })
  const room = onlooker.rooms.join(writer.id), seen = watch(room)
  await live(room)
  await world('commit', { Room: writer.id, N: 1 })
  await Promise.all([writer.numbers(1, 1), seen.numbers(1, 1)])
  const statuses = told(writer.rooms)
  await world('publish', { Code: 403, Poll: 1 })
  await world('commit', { Room: writer.id, N: 3 })
  writer.room.expect()
  await writer.until((s) => s.includes('4'), 'the own message', 15000)
  assert.equal(writer.rooms.status, 'polling')
  await seen.numbers(1, 4)
  await world('commit', { Room: writer.id, N: 2 })
  await Promise.all([writer.numbers(1, 6), seen.numbers(1, 6)])
  await world('publish', {})
  await until(() => writer.rooms.status === 'live' && onlooker.rooms.status === 'live', 'back to Pusher')
  await world('commit', { Room: writer.id, N: 2 })
  await Promise.all([writer.numbers(1, 8), seen.numbers(1, 8)])
  assert.deepEqual(statuses, ['polling', 'live'])
  await pause(1500) // the check after the burst
  await world('counts', { Reset: true })
  await pause(3000)
  assert.equal((await world('counts'))['/rooms/{room}/events'] ?? 0, 0, 'nothing is polled any more')
})

test('a poll asks for all rooms at once', async () => {
  const p = await page({ settle: 400 }), ids = Array.from({ length: 5 }, () => fresh('room'))
  const joined = ids.map((id) => p.rooms.join(id)), watched = joined.map(watch)
  await Promise.all(joined.map((room) => live(room)))
  await world('commit', { Room: ids[0], N: 1 })
  await watched[0].numbers(1, 1)
  await world('publish', { Code: 403, Poll: 1 })
  for (const id of ids) await world('commit', { Room: id, N: 1 })
  await until(() => p.rooms.status === 'polling', 'polling')
  await Promise.all(watched.slice(1).map((w) => w.numbers(1, 1)))
  await world('counts', { Reset: true })
  await pause(5000)
  const counts = await world('counts')
  assert.ok(counts['/events'] >= 1 && counts['/events'] <= 7, `${counts['/events']} polls in 5 s`)
  assert.equal(counts['/rooms/{room}/events'], undefined)
})
