// What the app is told while something between page, function and Pusher is broken, by a
// clock of the test's own; and how pages come back together.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRoomcast } from '../roomcast.js'
import { connectedPusher, fakeClock } from './fakes.js'

const answer = (body) => ({ ok: true, status: 200, json: async () => body })
const html = { ok: true, status: 200, json: async () => JSON.parse('<!doctype html>Log in to the hotel') }

/** A page in its first room. pusher.connection.move(state) is what pusher-js would tell. */
function open(t, { state = 'connected', subscribed = true, respond = answer } = {}) {
  const it = { asked: [], events: [], told: [], respond, pages: {} }
  t.mock.method(globalThis, 'fetch', async (address) => {
    const { pathname, searchParams } = new URL(address), after = Number(searchParams.get('after') ?? 5)
    it.asked.push({ at: Date.now(), pathname })
    return it.respond({ room: 'r', epoch: 'e', head: after, last: after, events: [], more: false, reset: false, ...it.pages })
  })
  const pusher = connectedPusher({ subscribed }), bound = {}
  Object.assign(pusher.connection, { state, bind: (name, fn) => (bound[name] = fn) })
  it.move = (to) => { pusher.connection.state = to; bound.state_change?.(); if (to === 'connected') bound.connected?.() }
  it.pusher = pusher
  it.rooms = createRoomcast({ pusher, url: 'http://f', token: () => 'x', mode: 'pusher' })
  it.rooms.on('status', ({ status, since }) => it.told.push([status, Date.now() - since]))
  it.room = it.rooms.join('r')
  it.room.on('live', () => it.events.push('live'))
  t.after(() => it.rooms.close())
  return it
}

const statuses = (it) => it.told.map(([status]) => status)

test('Pusher’s name cannot be resolved: polling after ten seconds, told when it began, and live when it can', async (t) => {
  const pass = fakeClock(t), it = open(t, { state: 'connecting' })
  await pass(4000)
  it.move('unavailable')
  await pass(5000)
  assert.deepEqual(statuses(it), [])
  await pass(4000)
  assert.deepEqual(it.told, [['polling', 0]])
  assert.equal(it.rooms.status, 'polling')
  assert.ok(it.rooms.since <= Date.now() && it.room.status === 'live')
  it.move('connected')
  await pass(100)
  assert.deepEqual(statuses(it), ['polling', 'live'])
})

test('connected, and the channel is never let in (wrong signatures): polling, and the room is live by it', async (t) => {
  const pass = fakeClock(t), it = open(t, { subscribed: false })
  await pass(1000)
  assert.deepEqual(it.events, [])
  await pass(20_000)
  assert.equal(it.rooms.status, 'polling')
  await pass(15_000) // the next poll, at the latest
  assert.deepEqual(it.events, ['live'])
  it.asked.length = 0
  await pass(60_000)
  assert.ok(it.asked.length >= 2, `${it.asked.length} polls in a minute`)
  it.pusher.admit('private-room-r')
  await pass(1000)
  assert.equal(it.rooms.status, 'live')
  it.asked.length = 0
  await pass(60_000)
  assert.ok(it.asked.length <= 1, 'nothing is polled any more')
})

test('a captive portal answers everything with a page: offline, and back', async (t) => {
  const pass = fakeClock(t), it = open(t)
  await pass(2000)
  assert.equal(it.rooms.status, 'live')
  it.respond = () => html
  it.move('unavailable')
  await pass(30_000)
  assert.equal(it.rooms.status, 'offline')
  it.asked.length = 0
  await pass(600_000)
  assert.ok(it.asked.length <= 60, `${it.asked.length} requests in ten minutes`)
  it.respond = answer
  it.move('connected')
  await pass(60_000)
  assert.equal(it.rooms.status, 'live')
})

test('the function is away and Pusher is there: live', async (t) => {
  const pass = fakeClock(t), it = open(t)
  await pass(2000)
  it.respond = () => { throw new TypeError('fetch failed') }
  await pass(600_000)
  assert.deepEqual(statuses(it), ['live'])
})

test('fifty pages come back together, and not at once', async (t) => { // with 200: 390 requests, at most 6 in 100 ms
  const pass = fakeClock(t)
  const pages = Array.from({ length: 50 }, () => open(t)), { asked } = pages.at(-1) // by all of them
  await pass(10_000)
  for (const it of pages) {
    it.respond = () => { throw new TypeError('fetch failed') }
    it.move('unavailable')
  }
  await pass(120_000)
  assert.ok(pages.every((it) => it.rooms.status === 'offline'))
  asked.length = 0
  const back = Date.now()
  for (const it of pages) {
    it.respond = answer
    it.move('connected')
  }
  await pass(90_000)
  assert.ok(pages.every((it) => it.rooms.status === 'live'))
  const at = asked.map(({ at }) => at - back).sort((a, b) => a - b)
  const most = Math.max(...at.map((from) => at.filter((to) => to >= from && to < from + 100).length))
  t.diagnostic(`${at.length} requests within ${at.at(-1)} ms, at most ${most} in 100 ms`)
  assert.ok(most <= 15, `${most} requests in 100 ms`)
})
