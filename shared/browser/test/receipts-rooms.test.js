// Receipts of whole rooms: the client and receipts.js together.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { afterEach, test } from 'node:test'
import { sendReceipts } from '../receipts.js'
import { closeAll, fresh, live, page, realtimeLive, watch, world } from './world.js'

afterEach(closeAll)

test('receipts tell what each side brought, and no content', async (t) => {
  const posts = []
  const real = globalThis.fetch
  t.mock.method(globalThis, 'fetch', async (address, init) => {
    if (!String(address).endsWith('/parity')) return real(address, init)
    posts.push(init.body)
    return Response.json({ every: 1 })
  })
  const onSeen = sendReceipts({ url: '', token: async () => 'token', every: 0.1, grace: 3 })
  const p = await page({ mode: 'both', settle: 0, onSeen })
  const id = fresh('room'), room = p.rooms.join(id), seen = watch(room)
  await live(room)
  await realtimeLive(1)

  await world('commit', { Room: id, N: 4, Every: 10 })
  await seen.numbers(1, 4)
  await world('commit', { Room: id, N: 3, Only: 'pusher' })
  await seen.numbers(1, 7) // else Supabase, which skips them, may be the first to bring the next
  await world('commit', { Room: id, N: 1, Repeat: 1 })
  await seen.numbers(1, 8)
  await world('down', { On: true })
  await world('commit', { Room: id, N: 2, Only: 'supabase' })
  await seen.numbers(1, 10)

  const total = (name) => posts.flatMap((body) => JSON.parse(body)[name]).reduce((a, b) => a + b, 0)
  for (let i = 0; i < 400 && total('supabase') < 2; i++) await new Promise((done) => setTimeout(done, 50))
  await world('down', { On: false })
  const names = ['both', 'pusher', 'supabase', 'pusherRepeats', 'supabaseRepeats', 'flips', 'supabaseDelays']
  assert.deepEqual(Object.fromEntries(names.map((name) => [name, total(name)])),
    { both: 5, pusher: 3, supabase: 2, pusherRepeats: 1, supabaseRepeats: 0, flips: 0, supabaseDelays: 7 })
  assert.equal(total('fetched') + total('pusherDelays'), 8) // whichever came first on this machine
  assert.equal(posts.join().includes('m1'), false)
  const example = JSON.parse(readFileSync(new URL('../../../functions/parity/testdata/receipts/usual.json', import.meta.url), 'utf8'))
  assert.deepEqual(Object.keys(JSON.parse(posts[0])).sort(), Object.keys(example).sort()) // the function's contract
  assert.deepEqual(posts.map((body) => JSON.parse(body).n), posts.map((_, i) => i + 1))
})

test('after the move: what was parked is fetched, what was deleted by hand is void, and nothing is missing', async (t) => {
  const posts = []
  const real = globalThis.fetch
  t.mock.method(globalThis, 'fetch', async (address, init) => {
    if (!String(address).endsWith('/parity')) return real(address, init)
    posts.push(JSON.parse(init.body))
    return Response.json({ every: 1 })
  })
  const p = await page({ settle: 0, onSeen: sendReceipts({ url: '', token: async () => 'token', every: 0.1, sample: 1 }) })
  const id = fresh('room'), room = p.rooms.join(id), seen = watch(room)
  await live(room)
  await world('commit', { Room: id, N: 2 })
  await seen.numbers(1, 2)
  await world('commit', { Room: id, N: 1, Only: 'supabase' }) // as `ops skip` leaves it: in the history, never pushed
  await world('commit', { Room: id, N: 2, Void: true })
  await world('commit', { Room: id, N: 1 })
  await seen.until((s) => s.includes('6'), 'the last')
  assert.deepEqual(seen.seen, ['1', '2', '3', '6'])
  const total = (name) => posts.reduce((sum, post) => sum + post[name], 0)
  const fetched = () => total('gap') + total('reconnect') // the room is back since a moment
  for (let i = 0; i < 400 && total('pushed') + fetched() < 4; i++) await new Promise((done) => setTimeout(done, 50))
  assert.ok(fetched() >= 1, 'the parked one was fetched')
  assert.deepEqual(['polled', 'supabase', 'void', 'missing', 'window'].map(total), [0, 0, 2, 0, 0])
  assert.equal(total('pushed') + fetched(), 4)
})
