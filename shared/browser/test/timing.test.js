// When a page asks, by a clock of the test's own: at rest, after a gap, as a writer. The
// function is a stand-in that answers at once.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRoomcast } from '../roomcast.js'
import { connectedPusher, fakeClock } from './fakes.js'

const HOUR = 3_600_000

/** An answer that takes no turn of the real clock, as a Response's body does. */
const answer = (body) => ({ ok: true, status: 200, json: async () => body })

for (const [what, isHidden, most] of [['in front', false, 12], ['hidden', true, 0]]) {
  test(`a page at rest for an hour, ${what}: at most ${most} requests after the first minute`, async (t) => {
    const pass = fakeClock(t)
    t.after(() => { delete globalThis.document })
    const asked = []
    t.mock.method(globalThis, 'fetch', async (address, init) => {
      asked.push(new URL(address).pathname)
      const ids = init?.body ? Object.keys(JSON.parse(init.body).rooms) : ['r0']
      const page = (room) => ({ room, epoch: 'e', head: 5, last: 5, events: [], more: false, reset: false })
      return answer(init?.body ? { rooms: Object.fromEntries(ids.map((id) => [id, page(id)])) } : page(new URL(address).pathname.split('/')[2]))
    })
    const pusher = connectedPusher()
    const rooms = createRoomcast({ pusher, url: 'http://f', token: () => 'x', mode: 'pusher' })
    t.after(() => rooms.close())
    const joined = Array.from({ length: 10 }, (_, i) => rooms.join('r' + i))
    await pass(5000)
    assert.deepEqual(joined.map((room) => room.status), joined.map(() => 'live'))
    pusher.channel('private-room-r3').emit('new-message', { id: 1, roomcast: { seq: 6, epoch: 'e', at: '2026-11-22T20:27:53.1+00:00' } })
    if (isHidden) globalThis.document = { hidden: true }
    asked.length = 0
    await pass(HOUR)
    t.diagnostic(`${asked.length} requests`)
    assert.ok(asked.length <= most, `${asked.length}: ${asked}`)
    assert.ok(isHidden || asked.length > 5, 'it looks now and then')
  })
}

/** A connected page whose room is at number 5 of epoch e; `pages` answers the history. */
async function listening(t, pages, options) {
  const pass = fakeClock(t)
  const asked = []
  t.mock.method(globalThis, 'fetch', async (address) => {
    asked.push(Date.now())
    const asks = new URL(address).searchParams.get('after'), after = Number(asks ?? 5)
    return answer({ room: 'r', epoch: 'e', head: after, last: after, events: [], more: false, reset: false, ...asks && pages(after) })
  })
  const pusher = connectedPusher(), rooms = createRoomcast({ pusher, url: 'http://f', token: () => 'x', mode: 'pusher', ...options })
  t.after(() => rooms.close())
  const room = rooms.join('r'), shown = []
  room.on('new-message', (m) => shown.push(m.roomcast.seq))
  await pass(5000)
  asked.length = 0
  const event = (seq) => ({ id: seq, roomcast: { seq, epoch: 'e', at: '2026-11-22T20:27:53.1+00:00' } })
  const push = (seq) => pusher.channel('private-room-r').emit('new-message', event(seq))
  return { asked, rooms, room, shown, push, event, pusher, pass }
}

test('a gap is asked for within 200 ms after it is seen, with an event every 30 ms behind it', async (t) => {
  const it = await listening(t, (after) => ({ head: 9, last: 9, events: [6, 7, 8, 9].filter((n) => n > after).map((n) => ({ name: 'new-message', data: it.event(n) })) }))
  const seen = Date.now()
  for (let seq = 7; seq < 17; seq++) {
    it.push(seq)
    await it.pass(30)
  }
  assert.ok(it.asked.length === 1 && it.asked[0] - seen <= 200, `asked after ${it.asked.map((at) => at - seen)} ms`)
  assert.deepEqual(it.shown, [6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])
})

test('a page that writes hears of a refusal within seconds, polls as often as it is told, and stops when told', async (t) => {
  let poll = 5
  const it = await listening(t, () => ({ poll }))
  it.room.expect()
  const wrote = Date.now()
  await it.pass(4000)
  assert.equal(it.asked.length, 1, `asked after ${it.asked.map((at) => at - wrote)} ms`)
  assert.equal(it.rooms.status, 'polling')
  await it.pass(60_000)
  const polls = it.asked.length - 1
  assert.ok(polls >= 9 && polls <= 16, `${polls} polls in a minute, every 5 s`)
  poll = 0
  await it.pass(10_000)
  assert.equal(it.rooms.status, 'live')
  const before = it.asked.length
  await it.pass(60_000)
  assert.ok(it.asked.length - before <= 1, 'it goes on polling')
})

test('an onlooker hears of a refusal within two minutes of the last event', async (t) => {
  let refusing = false
  const it = await listening(t, () => refusing ? { poll: 5 } : {})
  it.push(6)
  await it.pass(32_000) // the check after the burst
  refusing = true
  const since = Date.now()
  while (it.rooms.status !== 'polling' && Date.now() - since < 300_000) await it.pass(1000)
  assert.ok(Date.now() - since <= 120_000, `after ${(Date.now() - since) / 1000} s`)
})

test('a message at rest that a dead socket does not bring is shown within two minutes of the last event', async (t) => {
  let lost = false
  const it = await listening(t, (after) => lost && after < 7 ? { head: 7, last: 7, events: [{ name: 'new-message', data: it.event(7) }] } : {})
  it.push(6)
  await it.pass(32_000)
  lost = true
  const since = Date.now()
  while (!it.shown.includes(7) && Date.now() - since < 300_000) await it.pass(1000)
  assert.ok(Date.now() - since <= 120_000, `after ${(Date.now() - since) / 1000} s`)
})

/** Listens, and notes the numbers that came by no way. */
async function losing(t, pages) {
  const lost = []
  const onSeen = ({ event, how, numbers }) => numbers && lost.push(`${how} ${event.seq} ${numbers}`)
  return { lost, ...await listening(t, pages, { onSeen }) }
}

test('a number that the history has nothing under is void, at once', async (t) => {
  const it = await losing(t, () => ({ head: 9, last: 9, events: [{ name: 'new-message', data: it.event(9) }] }))
  it.push(9)
  await it.pass(1000)
  assert.deepEqual(it.shown, [9])
  assert.deepEqual(it.lost, ['void 6 1', 'void 7 1', 'void 8 1'])
})

test('a number that does not come for two minutes is missing, once; and late when it comes', async (t) => {
  let isBack = false
  const events = () => isBack ? [6, 7, 8, 9].map((seq) => ({ name: 'new-message', data: it.event(seq) })) : []
  const it = await losing(t, (after) => ({ head: 9, last: isBack ? 9 : after, events: events() }))
  it.push(9)
  await it.pass(110_000)
  assert.deepEqual(it.lost, [])
  await it.pass(300_000)
  assert.deepEqual([it.shown, it.lost], [[], ['missing 6 3']])
  isBack = true
  await it.pass(300_000)
  assert.deepEqual([it.shown, it.lost], [[6, 7, 8, 9], ['missing 6 3']])
})

test('numbers that are kept no more are told as the page’s own absence', async (t) => {
  const it = await losing(t, (after) => after < 30 ? { head: 30, last: 30, events: [], reset: true } : {})
  it.rooms.wake()
  await it.pass(5000)
  assert.deepEqual(it.lost, ['window 6 25'])
})

test('a user who does something after a silence: asked at once, three times an hour at most', async (t) => {
  const listeners = {}
  Object.assign(globalThis, { addEventListener: (name, fn) => (listeners[name] = fn), removeEventListener: (name) => delete listeners[name] })
  t.after(() => { delete globalThis.addEventListener; delete globalThis.removeEventListener })
  const it = await listening(t, () => ({}))
  it.push(6)
  await it.pass(330_000) // the next question would come two minutes later
  it.asked.length = 0
  listeners.pointerdown()
  await it.pass(500)
  assert.equal(it.asked.length, 1, 'asked at once')
  for (let i = 0; i < 59; i++) {
    listeners.keydown()
    await it.pass(60_000)
  }
  t.diagnostic(`${it.asked.length} requests an hour`)
  assert.ok(it.asked.length <= 12, `${it.asked.length} requests`)
  it.rooms.close()
  assert.deepEqual(listeners, {}, 'nothing is left behind')
})
