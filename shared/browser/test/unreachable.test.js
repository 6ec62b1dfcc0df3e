// Pages go on when Pusher cannot be reached: by asking the function; and say so when that
// is away, too.
import assert from 'node:assert/strict'
import { after, afterEach, test } from 'node:test'
import { closeAll, fresh, joined, live, page, until, watch, world } from './world.js'

afterEach(async () => {
  closeAll()
  await world('block', { On: false })
})
after(closeAll)

test('the socket never connects: polling after ten seconds, Pusher when it can be reached', async () => {
  await world('block', { On: true })
  const p = await page({ settle: 0 }), id = fresh('room'), room = p.rooms.join(id), seen = watch(room)
  await until(() => p.rooms.status === 'polling', 'polling', 30000)
  await live(room)
  await world('commit', { Room: id, N: 2 })
  await seen.until((s) => s.includes('2'), 'polled', 20000)
  await world('block', { On: false })
  await until(() => p.rooms.status === 'live', 'live', 90000)
  await until(() => p.pusher.channel(`private-room-${id}`)?.subscribed, 'subscribed')
  await world('commit', { Room: id, N: 1 })
  await seen.numbers(1, 3)
})

test('over the quota of connections (4004): polling at once', async () => {
  const r = await joined({ settle: 0 })
  await world('close', { Code: 4004 })
  await until(() => r.rooms.status === 'polling', 'polling')
  await world('commit', { Room: r.id, N: 2 })
  await r.numbers(1, 2)
})

test('neither the function nor Pusher: offline, and back', async () => {
  const r = await joined({ settle: 300 })
  await world('mood', { User: r.user, Mood: 'down' })
  await world('close', { Code: 4004 })
  await until(() => r.rooms.status === 'polling', 'polling')
  await until(() => r.rooms.status === 'offline', 'offline', 40000)
  await world('mood', { User: r.user, Mood: '' })
  await until(() => r.rooms.status !== 'offline', 'back', 60000)
  await world('commit', { Room: r.id, N: 1 })
  await r.numbers(1, 1)
})
