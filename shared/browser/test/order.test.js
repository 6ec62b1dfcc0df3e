// What numbers mean when things are not as usual: given again, void for long stretches,
// stubs without more, bulk changes, events of any name.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { closeAll, fresh, joined, live, page, pause, until, watch, world } from './world.js'

afterEach(closeAll)

test('a number that is given again to something newer is no repeat: reset', async () => {
  const r = await joined({ settle: 0 })
  await world('commit', { Room: r.id, N: 6 })
  await r.numbers(1, 6)
  await world('rewind', { Room: r.id, Head: 3 }) // a restore that kept the epoch
  await world('commit', { Room: r.id, N: 1 }) // has number 4 again
  await r.until((s) => s.includes('reset repeat'), 'reset')
  await world('commit', { Room: r.id, N: 2 })
  await r.until((s) => s.at(-1) === '9', 'the last')
  assert.deepEqual(r.seen, ['1', '2', '3', '4', '5', '6', 'reset repeat', '7', '8', '9'])
})

test('a repeat is a repeat, however late', async () => {
  const r = await joined({ settle: 0 })
  await world('commit', { Room: r.id, N: 200, Repeat: 1, Every: 1 })
  await r.numbers(1, 200)
})

test('a bulk change: the app loads again, in the order of events', async () => {
  const r = await joined({ settle: 0 })
  const resets = []
  r.room.on('reset', (reset) => resets.push(reset))
  await world('commit', { Room: r.id, N: 1 })
  await world('commit', { Room: r.id, Name: 'bulk-change', Data: { name: 'message', op: 'UPDATE', count: 5000 } })
  await world('commit', { Room: r.id, N: 1 })
  await r.until((s) => s.length === 3, 'three')
  assert.deepEqual(r.seen, ['1', 'reset bulk', '2'])
  assert.deepEqual(resets, [{ reason: 'bulk', name: 'message', op: 'UPDATE', count: 5000 }])
})

test('a hole larger than a page is crossed without haste', async () => {
  const r = await joined({ settle: 0 })
  await world('commit', { Room: r.id, N: 3000, Void: true })
  await world('counts', { Reset: true })
  await world('commit', { Room: r.id, N: 1 })
  await pause(1500)
  const early = (await world('counts'))['/rooms/{room}/events']
  assert.ok(early <= 12, `${early} requests in 1.5 s`)
  await r.until((s) => s.length > 0, 'what lies behind', 60000)
  assert.deepEqual(r.seen, ['3001'])
})

test('answers that get nowhere, or are of another room, or hold numbers as text, are failures', async (t) => {
  const r = await joined({ settle: 0 })
  const real = globalThis.fetch
  let asked = 0, lie = (page) => page
  t.mock.method(globalThis, 'fetch', async (address, init) => {
    const answer = await real(address, init)
    if (!new URL(address).pathname.startsWith('/rooms/')) return answer
    asked++
    return Response.json(lie(await answer.json()))
  })
  const lies = [
    (page) => ({ ...page, events: [], last: 0, more: true }), () => ({}), () => null, () => [],
    (page) => ({ ...page, room: 'another' }), (page) => ({ ...page, head: String(page.head) }),
    (page) => ({ ...page, events: [{ name: 'new-message', data: {} }] }),
  ]
  for (const [i, one] of lies.entries()) {
    lie = one
    asked = 0
    await world('commit', { Room: r.id, N: 1, Only: 'supabase' })
    await world('commit', { Room: r.id, N: 1 })
    await until(() => asked >= 1, `lie ${i} was told`)
    await pause(500)
    assert.ok(asked <= 4, `lie ${i}: ${asked} requests in 0.5 s`)
    lie = (page) => page
    await r.numbers(1, 2 * i + 2)
  }
})

test('a row that is a stub in the history, too, is handed on in its place', async () => {
  const r = await joined({ settle: 0 })
  const rows = []
  r.room.on('new-message', (row) => rows.push(row.id))
  await world('commit', { Room: r.id, Name: 'new-message', Data: { id: 'large', roomcast: { stub: true } } })
  await world('commit', { Room: r.id, N: 1 })
  await until(() => rows.length === 2, 'both')
  assert.deepEqual(rows, ['large', 'm1'])
})

test('events of every name, numbered together; what the app publishes itself is not Roomcast\'s', async () => {
  const r = await joined({ settle: 0 })
  const heard = []
  for (const name of ['new-reaction', 'reaction-deleted', 'poll-closed']) r.room.on(name, (data) => heard.push([name, data.id, data.roomcast.seq]))
  await world('commit', { Room: r.id, Name: 'new-reaction', Data: { id: 1 } })
  await world('commit', { Room: r.id, Name: 'poll-closed', Data: { id: 2 }, Only: 'supabase' }) // lost
  await world('commit', { Room: r.id, Name: 'reaction-deleted', Data: { id: 1 } })
  await until(() => heard.length === 3, 'three')
  assert.deepEqual(heard, [['new-reaction', 1, 1], ['poll-closed', 2, 2], ['reaction-deleted', 1, 3]])
  await world('raw', { Room: r.id, Name: 'anything', Data: { id: 9 } })
  await world('commit', { Room: r.id, N: 1 })
  await r.until((s) => s.includes('1'), 'a message')
  assert.equal(r.seen.some((s) => s.startsWith('anything')), false)
})

test('the user\'s own stream: what was missed comes first, hints pass, another user hears nothing', async () => {
  const id = '8b9f3c0a-4a1e-4f6e-9d55-1c2f3a4b5c6d'
  const p = await page({ user: id, settle: 0 }), me = p.rooms.me(), seen = watch(me)
  const hints = []
  me.on('room-activity', (hint) => hints.push(hint))
  await live(me)
  assert.ok(p.pusher.channel(`private-user-${id}`).subscribed)
  await world('commit', { Room: '@' + id, Name: 'new-contact', Data: { id: 1 } })
  await world('cut')
  await world('commit', { Room: '@' + id, Name: 'contact-updated', Data: { id: 1 } })
  await seen.until((s) => s.length === 2, 'both')
  assert.deepEqual(seen.seen, ['new-contact 1', 'contact-updated 1'])
  await until(() => p.pusher.channel(`private-user-${id}`).subscribed, 'back')
  await world('raw', { Room: '@' + id, Name: 'room-activity', Data: { room: 'r', seq: 7, at: '' } })
  await until(() => hints.length, 'a hint')
  await p.login(fresh('user'))
  await seen.until((s) => s.includes('reset user'), 'another user')
  await live(me)
  assert.equal(p.pusher.channel(`private-user-${id}`), undefined)
})
