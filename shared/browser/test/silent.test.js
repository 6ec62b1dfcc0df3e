// Pages go on when Pusher is connected and brings nothing: by asking the function, or by
// Supabase where that is still there.
import assert from 'node:assert/strict'
import { after, afterEach, test } from 'node:test'
import { closeAll, fresh, joined, live, page, realtimeLive, until, watch, world } from './world.js'

afterEach(async () => {
  closeAll()
  await world('publish', {})
  await world('plan', { Plan: { mode: 'pusher' } })
})
after(closeAll)

test('connected, and nothing comes: polling', async () => {
  const r = await joined({ settle: 300 })
  await world('commit', { Room: r.id, N: 1 })
  await r.numbers(1, 1)
  await world('commit', { Room: r.id, N: 1, Only: 'supabase' })
  await until(() => r.rooms.status === 'polling', 'polling', 30000)
  for (let n = 3; n < 5; n++) {
    await world('commit', { Room: r.id, N: 1, Only: 'supabase' })
    await r.until((s) => s.includes(String(n)), `message ${n}`, 15000)
  }
})

test('where Supabase is still there it steps in', async () => {
  await realtimeLive(0)
  await world('plan', { Plan: { mode: 'both', share: { pusher: 1 } } })
  const p = await page({ mode: undefined, settle: 500, user: '0' + fresh('user') }), id = fresh('room')
  const room = p.rooms.join(id), seen = watch(room)
  await live(room)
  assert.equal(room.mode, 'pusher')
  await world('commit', { Room: id, N: 1 })
  await seen.numbers(1, 1)
  await world('publish', { Code: 403, Poll: 5 })
  await world('commit', { Room: id, N: 1 })
  await until(() => p.rooms.status === 'supabase', 'by Supabase')
  await seen.numbers(1, 2)
  await world('commit', { Room: id, N: 2 })
  await seen.numbers(1, 4)
  await world('publish', {})
  p.rooms.wake()
  await until(() => p.rooms.status === 'live', 'live')
  await realtimeLive(0)
  await world('commit', { Room: id, N: 1 })
  await seen.numbers(1, 5)
})
