// From one mode to the other: by hand, by the plan.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { afterEach, test } from 'node:test'
import { createRoomcast } from '../roomcast.js'
import { joined } from './scenarios.js'
import { closeAll, live, realtimeLive, world, WORLD } from './world.js'

afterEach(closeAll)

test('switching while messages come', async () => {
  const r = await joined('supabase', { settle: 500 })
  const writing = world('commit', { Room: r.id, N: 240, Every: 20 })
  for (const mode of ['both', 'pusher', 'supabase', 'pusher', 'both', 'supabase', 'both']) {
    await new Promise((done) => setTimeout(done, 600))
    r.rooms.setMode(mode)
    assert.equal(r.room.mode, mode)
  }
  await writing
  await r.numbers(1, 240)
})

test('the source that is not wanted any more is closed, once the other one is live', async () => {
  const r = await joined('supabase')
  assert.equal(r.pusher.channel(`private-room-${r.id}`), undefined)
  r.rooms.setMode('pusher')
  await live(r.room)
  for (let i = 0; i < 100 && (await world('realtime')).Live > 0; i++) await new Promise((done) => setTimeout(done, 20))
  assert.equal((await world('realtime')).Live, 0)
  r.rooms.setMode('supabase')
  await realtimeLive(1)
  for (let i = 0; i < 100 && r.pusher.channel(`private-room-${r.id}`); i++) await new Promise((done) => setTimeout(done, 20))
  assert.equal(r.pusher.channel(`private-room-${r.id}`), undefined)
})

// Clients enough to see shares, without anything to connect to.
async function modes(users, room) {
  const channel = { on: () => channel, subscribe: () => channel }
  const source = { bind_global() {}, unbind_global() {} }
  const connection = { bind() {}, unbind() {} }
  const ask = async (sub) => {
    const pusher = { config: {}, connection, signin() {}, channel() {}, subscribe: () => source, unsubscribe() {} }
    const rooms = createRoomcast({
      pusher, supabase: { channel: () => channel, removeChannel() {} }, url: WORLD,
      token: async () => `.${btoa(JSON.stringify({ sub }))}.`,
    })
    const joined = rooms.join(room)
    while (!joined.mode) await new Promise((done) => setTimeout(done, 5))
    const { mode } = joined
    rooms.close()
    return mode
  }
  const list = []
  for (let i = 0; i < users.length; i += 20) list.push(...await Promise.all(users.slice(i, i + 20).map(ask)))
  return list
}

test('the plan: all, a share of the users, a room', async () => {
  const users = Array.from({ length: 200 }, () => randomUUID())
  assert.deepEqual(new Set(await modes(users.slice(0, 5), 'any')), new Set(['pusher']))
  await world('plan', { Plan: { mode: 'both', share: { pusher: 0.3 }, rooms: { special: 'supabase' } } })
  const some = await modes(users, 'any')
  const share = some.filter((m) => m === 'pusher').length / users.length
  assert.ok(share > 0.18 && share < 0.42, `a share of 0.3 was ${share}`)
  assert.deepEqual(new Set(some), new Set(['pusher', 'both']))
  await world('plan', { Plan: { mode: 'both', share: { pusher: 0.6 } } })
  const more = await modes(users, 'any')
  assert.ok(some.every((m, i) => m !== 'pusher' || more[i] === 'pusher'), 'growing a share took somebody out of it')
  await world('plan', { Plan: { mode: 'both', share: { pusher: 0.3 }, rooms: { special: 'supabase' } } })
  assert.deepEqual(new Set(await modes(users.slice(0, 20), 'special')), new Set(['supabase']))
})

test('the plan is asked for again when the page comes back', async (t) => {
  await world('plan', { Plan: { mode: 'supabase' } })
  const r = await joined('supabase', { mode: undefined })
  await world('plan', { Plan: { mode: 'pusher' } })
  const { now } = Date // ahead, and it goes on: what waits by the clock would wait for ever
  Date.now = () => now() + 61000
  t.after(() => { Date.now = now })
  await world('cut') // and Pusher's connection is made again
  while (r.room.mode !== 'pusher') await new Promise((done) => setTimeout(done, 20)) // or the test's time is over
  await world('commit', { Room: r.id, N: 3 })
  await r.numbers(1, 3)
})
