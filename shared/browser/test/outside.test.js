// What an app's own functions, a clock and half an answer do to a page, by a clock of the
// test's own: no storm, and no silence.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRoomcast } from '../roomcast.js'
import { connectedPusher, fakeClock } from './fakes.js'

const answer = (body, status = 200, headers = {}) => ({ ok: status < 300, status, headers: new Headers(headers), json: async () => body })
const userToken = (sub) => `x.${btoa(JSON.stringify({ sub })).replace(/=+$/, '')}.x`
const event = (seq, more) => ({ name: 'new-message', data: { id: seq, roomcast: { seq, epoch: 'e' }, ...more } })

/** A page of one client; respond(path, rooms) answers in place of the function, undefined as it would. */
function open(t, { respond = () => {}, signs, ...options } = {}) {
  const it = { asked: [], respond, events: [] }
  const page = (room, after) => {
    const events = it.events.filter(({ data }) => data.roomcast.seq > after)
    const head = it.events.at(-1)?.data.roomcast.seq ?? 5
    return { room, epoch: 'e', head, last: head, events, more: false, reset: false }
  }
  t.mock.method(globalThis, 'fetch', async (address, init) => {
    const { pathname, searchParams } = new URL(address), [, , id] = pathname.split('/')
    const { rooms } = pathname === '/events' ? JSON.parse(init.body) : {}
    const channels = pathname.startsWith('/pusher/auth') ? new URLSearchParams(init.body).getAll('channel_name') : []
    it.asked.push(pathname)
    await new Promise((done) => setTimeout(done, 20)) // a storm would take no time at all
    const given = it.respond(pathname, rooms ? Object.keys(rooms) : channels)
    if (given) return given
    if (channels.length > 1) return answer(Object.fromEntries(channels.map((name) => [name, { status: 200, auth: 'a' }])))
    if (pathname.startsWith('/pusher/')) return answer({ auth: 'a' })
    if (pathname === '/me/rooms') return answer({ rooms: [] })
    if (rooms) return answer({ rooms: Object.fromEntries(Object.entries(rooms).map(([room, { after }]) => [room, page(room, after ?? Infinity)])) })
    return answer(page(id, searchParams.has('after') ? Number(searchParams.get('after')) : Infinity))
  })
  const pusher = it.pusher = connectedPusher({ subscribed: !signs }), { subscribe } = pusher
  if (signs) {
    const pending = new Set() // as pusher-js, which asks once for a subscription that is on its way
    pusher.subscribe = (name) => {
      const channel = subscribe(name)
      const done = (err) => {
        pending.delete(name)
        if (err) channel.emit('pusher:subscription_error', {})
        else pusher.admit(name)
      }
      if (channel.subscribed || pending.has(name)) return channel
      pending.add(name)
      pusher.config.channelAuthorizer({ socketId: '1.1', channelName: name }, done)
      return channel
    }
  }
  it.rooms = createRoomcast({ pusher, url: 'http://f', token: () => userToken('u'), mode: 'pusher', ...options })
  t.after(() => it.rooms.close())
  it.join = (n) => Array.from({ length: n }, (_, i) => it.rooms.join('r' + i))
  return it
}

const shows = (room) => {
  const seen = []
  room.on('new-message', (m) => seen.push(m.id))
  return seen
}

test('a database that is away is told channel by channel: asked again later and later, together', async (t) => {
  let isAway = true
  const pass = fakeClock(t), it = open(t, { signs: true, respond: (path, channels) => {
    if (!isAway || !path.endsWith('/batch')) return
    return answer(Object.fromEntries(channels.map((name) => [name, name === 'private-room-r0' ? { status: 200, auth: 'a' } : { status: 503, error: 'away' }])))
  } })
  const rooms = it.join(10)
  await pass(60_000)
  const batches = it.asked.filter((path) => path.endsWith('/batch')).length
  assert.ok(batches <= 30, `${batches} batches in a minute`) // each answered poll has them try again
  isAway = false
  await pass(90_000)
  assert.deepEqual(new Set(rooms.map(({ status }) => status)), new Set(['live']))
})

for (const fine of [0, 1]) {
  test(`a history that fails for rooms of many, ${fine} fine: asked again later and later, together`, async (t) => {
    let isAway = true
    const pass = fakeClock(t), it = open(t, { respond: (path, rooms) => {
      if (!isAway || !path.endsWith('events')) return
      if (path !== '/events') return fine ? undefined : answer({}, 503)
      return answer({ rooms: Object.fromEntries(rooms.map((id, i) => [id, i < fine ? { room: id, epoch: 'e', head: 5, last: 5, events: [] } : { status: 503 }])) })
    } })
    const rooms = it.join(60)
    await pass(60_000)
    assert.ok(it.asked.length <= 20 + 20 * fine, `${it.asked.length} requests in a minute`)
    isAway = false
    await pass(90_000)
    assert.deepEqual(new Set(rooms.map(({ status }) => status)), new Set(['live']))
  })
}

for (const [what, options] of [['onSeen', { onSeen() { throw new Error('of the app') } }], ['key', { key: ({ absent }) => absent.id }]]) {
  test(`the app's ${what} throws: told, and all rooms go on`, async (t) => {
    const told = []
    globalThis.reportError = (err) => told.push(err.message)
    t.after(() => { delete globalThis.reportError })
    const pass = fakeClock(t), it = open(t, options), rooms = it.join(2), seen = rooms.map(shows)
    await pass(5000)
    it.asked.length = 0
    it.events = [event(6), event(7)]
    it.rooms.wake() // fetched
    await pass(5000)
    for (const i of [0, 1]) it.pusher.channel('private-room-r' + i).emit('new-message', event(8).data)
    await pass(5000)
    assert.deepEqual(seen, [[6, 7, 8], [6, 7, 8]])
    assert.ok(told.length > 0 && it.asked.length <= 5, `${told.length} told, ${it.asked.length} requests`)
  })
}

for (const seconds of ['3600', '99999999', '1e99', '-1', 'Wed, 21 Oct 2026 07:28:00 GMT']) {
  test(`Retry-After: ${seconds}: neither silent for long nor a storm`, async (t) => {
    const pass = fakeClock(t), it = open(t), [room] = it.join(1), seen = shows(room)
    await pass(5000)
    it.respond = () => answer({}, 503, { 'Retry-After': seconds })
    it.asked.length = 0
    it.rooms.wake()
    await pass(60_000)
    assert.ok(it.asked.length >= 1 && it.asked.length <= 12, `${it.asked.length} requests in a minute`)
    it.respond = () => {}
    it.events = [event(6)]
    await pass(120_000)
    assert.deepEqual(seen, [6])
  })
}

test('advice to poll once in a thousand years is none', async (t) => {
  const pass = fakeClock(t), it = open(t, { respond: (path) => path.endsWith('events') ? answer({ room: 'r0', epoch: 'e', head: 5, last: 5, events: [], poll: 3e10 }) : undefined })
  it.join(1)
  await pass(5000)
  it.asked.length = 0
  await pass(180_000)
  assert.ok(it.asked.length >= 1 && it.asked.length <= 8, `${it.asked.length} polls in three minutes`)
})

for (const hours of [-3, 3]) {
  test(`the clock jumps by ${hours} h while the function is away: back within two minutes of its return`, async (t) => {
    const pass = fakeClock(t), it = open(t), [room] = it.join(1), seen = shows(room)
    await pass(5000)
    it.respond = () => answer({}, 503)
    it.rooms.wake()
    await pass(30_000)
    const { now } = Date
    Date.now = () => now() + hours * 3_600_000
    it.pusher.channel('private-room-r0').emit('new-message', event(7).data) // a gap
    it.rooms.inbox().catch(() => {})
    await pass(30_000)
    it.respond = () => {}
    it.events = [event(6), event(7)]
    await pass(120_000)
    assert.deepEqual(seen, [6, 7])
  })
}

test('a token that fails at first, and the user\'s own stream', async (t) => {
  let token = () => { throw new Error('not yet') }
  const pass = fakeClock(t), it = open(t, { token: () => token() }), me = it.rooms.me()
  await pass(20_000)
  token = () => userToken('8B9F3C0A')
  await pass(120_000)
  assert.ok(it.pusher.channel('private-user-8b9f3c0a'), 'subscribed')
  assert.equal(me.status, 'live')
})

for (const [what, value] of [['a number', 42], ['null', null], ['an object', {}], ['nothing', undefined], ['text', 'x']]) {
  test(`a token that is ${what}: few requests, and live with a good one`, async (t) => {
    let token = value
    const pass = fakeClock(t), it = open(t, { signs: true, token: () => token, respond: () => token === value ? answer({}, 401) : undefined })
    const rooms = it.join(3)
    await pass(60_000)
    assert.ok(it.asked.length <= 10, `${it.asked.length} requests`)
    token = userToken('u')
    await pass(180_000)
    assert.deepEqual(rooms.map(({ status }) => status), ['live', 'live', 'live'])
  })
}

test('the app\'s token is another user\'s: nothing of the first one is left', async (t) => {
  let user = 'one'
  const pass = fakeClock(t), it = open(t, { token: () => userToken(user) }), me = it.rooms.me(), [room] = it.join(1)
  const resets = []
  for (const each of [me, room]) each.on('reset', ({ reason }) => resets.push(reason))
  await pass(5000)
  assert.ok(it.pusher.channel('private-user-one'))
  user = 'two'
  it.rooms.wake()
  await pass(20_000)
  assert.deepEqual(resets, ['user', 'user'])
  assert.deepEqual([!!it.pusher.channel('private-user-one'), !!it.pusher.channel('private-user-two')], [false, true])
})

for (const end of ['unbind_all', 'unsubscribe']) {
  test(`the app's ${end} on a channel that Roomcast hears: heard again within ten seconds`, async (t) => {
    const pass = fakeClock(t), it = open(t), [room] = it.join(1), seen = shows(room), name = 'private-room-r0'
    await pass(5000)
    if (end === 'unsubscribe') it.pusher.unsubscribe(name)
    else it.pusher.channel(name).global_callbacks.forEach(it.pusher.channel(name).unbind_global)
    await pass(10_000)
    it.pusher.channel(name).emit('new-message', event(6).data)
    assert.deepEqual(seen, [6])
  })
}

test('a request that cannot be written holds nobody up', async (t) => {
  const pass = fakeClock(t), it = open(t), [room] = it.join(1), seen = shows(room)
  await pass(5000)
  it.respond = () => answer({}, 503)
  it.rooms.wake()
  await pass(5000)
  const refused = assert.rejects(it.rooms.read('r0', 7n), TypeError)
  await pass(60_000)
  await refused
  it.respond = () => {}
  it.events = [event(6)]
  await pass(120_000)
  assert.deepEqual(seen, [6])
})

test('200 rooms that are let in one by one, every 3 ms, ask once for each hundred', async (t) => {
  const pass = fakeClock(t), it = open(t)
  const { subscribe } = it.pusher
  let admitted = 0
  it.pusher.subscribe = (name) => {
    const channel = subscribe(name)
    channel.subscribed = false
    setTimeout(() => it.pusher.admit(name), 3 * ++admitted)
    return channel
  }
  const rooms = it.join(200)
  await pass(5000)
  assert.deepEqual(new Set(rooms.map(({ status }) => status)), new Set(['live']))
  t.diagnostic(`${it.asked.length} requests`)
  assert.ok(it.asked.filter((path) => path === '/events').length <= 6, `${it.asked}`)
})
