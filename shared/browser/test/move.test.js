// Modes 'both' and 'supabase', and what the move between them needs.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { afterEach, mock, test } from 'node:test'
import { createRoomcast } from '../roomcast.js'
import { closeAll, fresh, live, page, realtimeLive, watch, world, WORLD } from './world.js'

afterEach(closeAll)

const SEED = Number(process.env.SEED)

async function joined(mode, options) {
  await realtimeLive(0) // the last test's have gone
  const p = await page({ mode, ...options })
  const id = fresh('room')
  const room = p.rooms.join(id), seen = watch(room)
  if (mode !== 'supabase') await live(room)
  if (mode !== 'pusher') await realtimeLive(1)
  return { ...p, id, room, ...seen, numbers: seen.numbers.bind(seen) }
}

test('both: each once, edited and deleted too', async () => {
  const r = await joined('both', { settle: 300 })
  await world('commit', { Room: r.id, N: 2 })
  for (const Content of ['A', 'B', 'A']) await world('commit', { Room: r.id, Op: 'UPDATE', ID: 'm1', Content })
  await world('commit', { Room: r.id, Op: 'DELETE', ID: 'm2' })
  const want = ['1', '2', 'message-updated m1 A', 'message-updated m1 B', 'message-updated m1 A', 'message-deleted m2']
  await r.until((s) => s.length === want.length, 'all')
  await new Promise((done) => setTimeout(done, 1000)) // Supabase's come later, and the check after the burst
  assert.deepEqual(r.seen, want)
})

test('both: Pusher loses everything', async () => {
  const r = await joined('both', { settle: 0 })
  await world('commit', { Room: r.id, N: 30, Every: 15, Only: 'supabase' })
  await r.numbers(1, 30)
})

test('both: Supabase loses everything', async () => {
  const r = await joined('both', { settle: 0 })
  await world('commit', { Room: r.id, N: 30, Every: 5, Only: 'pusher' })
  await r.numbers(1, 30)
})

for (const mode of ['both', 'supabase']) {
  test(`${mode}: Roomcast is away, and comes back`, async () => {
    const r = await joined(mode, { settle: 400 })
    await world('commit', { Room: r.id, N: 2 })
    await r.numbers(1, 2)
    await world('down', { On: true })
    await world('commit', { Room: r.id, N: 10, Every: 10, Only: 'supabase' })
    await r.numbers(1, 12)
    await world('down', { On: false })
    await world('commit', { Room: r.id, N: 10, Every: 10 })
    await r.numbers(1, 22)
    await new Promise((done) => setTimeout(done, 1500)) // what is fetched now was shown before
    await r.numbers(1, 22)
  })

  test(`${mode}: Roomcast was never there`, async () => {
    await realtimeLive(0)
    await world('down', { On: true })
    const p = await page({ mode }), id = fresh('room')
    const seen = watch(p.rooms.join(id))
    await realtimeLive(1)
    await world('commit', { Room: id, N: 5, Every: 20, Only: 'supabase' })
    await seen.numbers(1, 5)
    await world('down', { On: false })
  })

  test(`${mode}: drops, repeats, reorderings and cuts, seed ${SEED}`, async () => {
    const r = await joined(mode, { settle: 500 })
    const writing = world('commit', { Room: r.id, N: 200, Every: 20, Lose: 0.15, Repeat: 0.1, Swap: 0.15, Seed: SEED })
    for (let i = 0; i < 3; i++) {
      await new Promise((done) => setTimeout(done, 900))
      await world('cut')
    }
    await writing
    await r.numbers(1, 200)
  })

  test(`${mode}: the token expires`, async () => {
    const r = await joined(mode, { settle: 500 })
    const writing = world('commit', { Room: r.id, N: 40, Every: 25 })
    await world('expire')
    await r.supabase.auth.refreshSession() // as supabase-js does by itself shortly before
    await writing
    await r.numbers(1, 40)
    await realtimeLive(1)
  })
}

test('supabase: a premature SUBSCRIBED and the gap of a cut', async () => {
  const r = await joined('supabase', { settle: 400 })
  await world('cut')
  await world('commit', { Room: r.id, N: 5 })
  await realtimeLive(1)
  await r.numbers(1, 5)
})

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
  const list = await Promise.all(users.map(async (sub) => {
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
  }))
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
  mock.timers.enable({ apis: ['Date'], now: Date.now() + 61000 })
  t.after(() => mock.timers.reset())
  await world('cut') // and Pusher's connection is made anew
  while (r.room.mode !== 'pusher') await new Promise((done) => setTimeout(done, 20)) // or the test's time is over
  await world('commit', { Room: r.id, N: 3 })
  await r.numbers(1, 3)
})
