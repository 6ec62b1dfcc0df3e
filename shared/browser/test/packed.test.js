// Packed channels: several events in one of Pusher's, shown one by one.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { closeAll, fresh, live, page, realtimeLive, watch, world } from './world.js'

afterEach(closeAll)

const SEED = Number(process.env.SEED)

async function joined(options) {
  const p = await page({ channel: 'packed', ...options })
  const id = fresh('packed'), packs = []
  const room = p.rooms.join(id), seen = watch(room)
  await live(room)
  p.pusher.channel(`private-packed-room-${id}`).bind('packed', (pack) => packs.push(pack.length))
  return { ...p, id, room, packs, ...seen, until: seen.until, numbers: seen.numbers.bind(seen) }
}

/** Waits for what is told by no event of a room. */
async function until(done, what) {
  for (let i = 0; i < 1000 && !done(); i++) await new Promise((tick) => setTimeout(tick, 10))
  assert.ok(done(), what)
}

test('packs and lone events are shown one by one, edits and deletions too, as they are pushed', async () => {
  const pushed = new Set()
  const r = await joined({ settle: 0, onSeen: ({ event, how }) => how !== 'fetched' && pushed.add(event.seq) })
  await world('commit', { Room: r.id, N: 40, Pack: 9, Seed: SEED })
  await world('commit', { Room: r.id, Op: 'UPDATE', ID: 'm1', Content: 'edited' })
  await world('commit', { Room: r.id, Op: 'DELETE', ID: 'm2' })
  await r.until((s) => s.length === 42, 'all')
  await until(() => pushed.size === 42, 'all were pushed')
  assert.deepEqual(r.seen, [...Array.from({ length: 40 }, (_, i) => String(i + 1)), 'message-updated m1 edited', 'message-deleted m2'])
  assert.ok(r.packs.length && r.packs.every((n) => n > 1), `packs of ${r.packs}`)
})

for (let i = 0; i < 3; i++) {
  test(`packs that are lost, repeated and swapped, seed ${SEED + i}`, async () => {
    const r = await joined()
    await world('commit', { Room: r.id, N: 240, Every: 2, Pack: 12, Lose: 0.15, Repeat: 0.15, Swap: 0.2, Seed: SEED + i })
    await r.numbers(1, 240)
    assert.ok(r.packs.length > 5, `${r.packs.length} packs`)
  })
}

test('stubs and void numbers among packs are fetched in their places', async () => {
  const r = await joined({ settle: 0 })
  await world('commit', { Room: r.id, N: 6, Pack: 6, Seed: SEED })
  await world('commit', { Room: r.id, N: 2, Size: 20000, Pack: 2, Seed: SEED })
  await world('commit', { Room: r.id, Void: true })
  await world('commit', { Room: r.id, N: 6, Pack: 6, Seed: SEED })
  await r.until((s) => s.at(-1) === '15', 'the last')
  assert.deepEqual(r.seen, ['1', '2', '3', '4', '5', '6', '7', '8', '10', '11', '12', '13', '14', '15'])
})

test('a cut: what was written meanwhile comes first', async () => {
  const r = await joined({ settle: 0 })
  for (let cut = 0; cut < 3; cut++) {
    await world('cut')
    await world('commit', { Room: r.id, N: 20, Pack: 8, Seed: SEED + cut })
    await r.numbers(1, 20 * (cut + 1))
  }
})

test('a kind for one room, in place of that for all', async () => {
  const p = await page(), packed = fresh('packed'), plain = fresh('room')
  const one = p.rooms.join(packed, { channel: 'packed' }), other = p.rooms.join(plain)
  const first = watch(one), second = watch(other)
  await Promise.all([live(one), live(other)])
  await world('commit', { Room: packed, N: 10, Pack: 5, Seed: SEED })
  await world('commit', { Room: plain, N: 3 })
  await Promise.all([first.numbers(1, 10), second.numbers(1, 3)])
  assert.deepEqual(Object.keys(p.pusher.channels.channels).sort(), [`private-packed-room-${packed}`, `private-room-${plain}`])
  one.leave()
  assert.equal(p.pusher.channel(`private-packed-room-${packed}`), undefined)
})

test('both: each message of a pack is an arrival of its own, and shown once', async () => {
  await realtimeLive(0)
  const seen = []
  const r = await joined({ mode: 'both', onSeen: ({ side, event, how }) => seen.push([side, event.seq, how]) })
  await realtimeLive(1)
  await world('commit', { Room: r.id, N: 30, Every: 5, Pack: 6, Seed: SEED })
  await r.numbers(1, 30)
  const pushed = () => seen.filter(([side, , how]) => side === 'pusher' && how !== 'fetched').map(([, seq]) => seq).sort((a, b) => a - b)
  const supabase = () => seen.filter(([side, , how]) => side === 'supabase' && how !== 'again').length
  await until(() => pushed().length >= 30 && supabase() >= 30, 'all came by both')
  assert.deepEqual(pushed(), Array.from({ length: 30 }, (_, i) => i + 1))
  assert.equal(supabase(), 30)
})
