// The app keeps its own: bindings, channels, authorizer, versions of pusher-js and
// supabase-js, and what Supabase alone would show.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import Pusher86 from 'pusher-js'
import Pusher80 from 'pusher-js-8.0'
import Pusher84 from 'pusher-js-8.4'
import { createClient as create239 } from 'supabase-js-2.39'
import { createRoomcast } from '../roomcast.js'
import { closeAll, fresh, joined, live, page, pause, realtimeLive, until, watch, world, WORLD } from './world.js'

afterEach(closeAll)

test('what the app bound after the join goes on after leave(), and after a cut', async () => {
  const r = await joined({ settle: 0 }), plain = []
  const channel = r.pusher.channel(`private-room-${r.id}`)
  channel.bind('new-message', (m) => plain.push(m.content))
  r.room.leave()
  await world('commit', { Room: r.id, N: 1 })
  await until(() => plain.length === 1, 'heard')
  const back = new Promise((done) => channel.bind('pusher:subscription_succeeded', done))
  await world('cut')
  await back
  await world('commit', { Room: r.id, N: 1 })
  await until(() => plain.length === 2, 'heard after a cut')
  const again = r.rooms.join(r.id), seen = watch(again)
  await live(again)
  await world('commit', { Room: r.id, N: 1 })
  await seen.numbers(3, 3)
})

test('two clients on one pusher: the first closes, the second goes on; then the app has its own again', async () => {
  const p = await page({ settle: 0 }), { channelAuthorizer, userAuthenticator } = p.pusher.config
  const second = createRoomcast({ pusher: p.pusher, supabase: p.supabase, url: WORLD, mode: 'pusher', settle: 0 })
  const id = fresh('room'), one = p.rooms.join(id), two = second.join(id), seen = watch(two)
  await Promise.all([live(one), live(two)])
  p.rooms.close()
  await world('cut')
  await world('commit', { Room: id, N: 2 })
  await seen.numbers(1, 2)
  await until(() => p.pusher.channel(`private-room-${id}`).subscribed, 'back')
  second.close()
  assert.equal(p.pusher.channel(`private-room-${id}`), undefined)
  assert.equal(p.pusher.config.channelAuthorizer, channelAuthorizer) // the first one's, which passes everything on
  const asked = []
  p.pusher.config.channelAuthorizer({ socketId: '1.1', channelName: 'private-x' }, (err) => asked.push(!!err))
  p.pusher.config.userAuthenticator({ socketId: '1.1' }, (err) => asked.push(!!err))
  await until(() => asked.length === 2, 'the app\'s own, which has no endpoint here')
  assert.equal(p.pusher.config.userAuthenticator, userAuthenticator)
})

for (const [version, Library] of [['8.0.1', Pusher80], ['8.4.0', Pusher84], ['8.6.0', Pusher86]]) {
  test(`pusher-js ${version}: the server ends the connection, one new one is made`, async () => {
    const p = await page({ Library, settle: 0 }), ids = Array.from({ length: 11 }, () => fresh('room'))
    const rooms = ids.map((id) => p.rooms.join(id)), seen = rooms.map(watch)
    await Promise.all(rooms.map((room) => live(room)))
    let connected = 0
    p.pusher.connection.bind('connected', () => connected++)
    await world('counts', { Reset: true })
    await world('close', { Code: 4009 })
    await until(() => connected > 0 && ids.every((id) => p.pusher.channel(`private-room-${id}`).subscribed), 'back')
    for (const Room of ids) await world('commit', { Room, N: 1 })
    await Promise.all(seen.map((s) => s.numbers(1, 1)))
    await pause(2000)
    const counts = await world('counts')
    assert.equal(connected, 1)
    assert.deepEqual([counts['/pusher/auth/batch'], counts['/pusher/auth'], counts['/pusher/user-auth']], [1, undefined, 1])
  })

  test(`pusher-js ${version}: rough cuts, a refused subscription, a dead socket, a signed-in user`, async () => {
    const r = await joined({ Library, settle: 300 })
    await until(() => r.pusher.user.user_data?.id === r.user, 'signed in')
    for (let cut = 1; cut <= 3; cut++) { // it gives WebSockets up after two
      await world('cut')
      await world('commit', { Room: r.id, N: 1 })
      await r.numbers(1, cut)
    }
    await until(() => r.pusher.channel(`private-room-${r.id}`).subscribed, 'subscribed')
    const other = fresh('room')
    await world('deny', { Room: other, On: true })
    const refused = r.rooms.join(other)
    await pause(300)
    await world('deny', { Room: other, On: false })
    await live(refused)
    const socket = r.pusher.connection.socket_id
    await world('freeze')
    await world('commit', { Room: r.id, N: 1 })
    r.room.expect()
    await r.numbers(1, 4)
    await until(() => r.pusher.connection.socket_id !== socket && r.pusher.channel(`private-room-${r.id}`).subscribed, 'a new socket', 10000)
    assert.equal(r.room.send('typing'), true)
  })
}

for (const [version, Library] of [['8.0.1', Pusher80], ['8.6.0', Pusher86]]) {
  test(`pusher-js ${version}: the app unbinds or unsubscribes the channel for its own part, and Roomcast goes on`, async () => {
    const pushed = [], onSeen = ({ event, how }) => how || pushed.push(event.seq)
    const r = await joined({ Library, settle: 0, onSeen }), name = `private-room-${r.id}`
    const ends = [(channel) => channel.unbind_all(), (channel) => channel.unsubscribe(), () => r.pusher.unsubscribe(name)]
    for (const [i, end] of ends.entries()) {
      end(r.pusher.channel(name))
      r.rooms.wake() // else within ten seconds: see outside.test.js
      await until(() => r.pusher.channel(name)?.subscribed, 'subscribed')
      await pause(500) // what is fetched now is no proof
      await world('commit', { Room: r.id, N: 1 })
      await r.numbers(1, i + 1)
    }
    assert.deepEqual(pushed, [1, 2, 3])
  })
}

test('an older pusher-js is refused by name', async () => {
  const pusher = Object.assign(Object.create(Pusher80.prototype), { timeline: { options: { version: '7.6.0' } } })
  assert.throws(() => createRoomcast({ pusher, url: WORLD, token: () => 'x' }), /pusher-js 7\.6\.0 is too old, 8\.0/)
})

test('supabase-js 2.39: sessions, and both ways', async () => {
  await realtimeLive(0)
  const r = await joined({ create: create239, mode: 'both', settle: 400 })
  await realtimeLive(1)
  await world('commit', { Room: r.id, N: 20, Every: 10, Lose: 0.2, Seed: Number(process.env.SEED) })
  await r.numbers(1, 20)
  await world('expire')
  await world('cut')
  await world('commit', { Room: r.id, N: 2 })
  await r.numbers(1, 22)
  await r.login(fresh('user'))
  await r.until((s) => s.includes('reset user'), 'reset')
})

test('mode supabase shows what Supabase alone would: equal changes of one transaction, each', async () => {
  await realtimeLive(0)
  const p = await page({ mode: 'supabase', settle: 500 }), id = fresh('room'), seen = watch(p.rooms.join(id))
  await realtimeLive(1)
  await world('commit', { Room: id, N: 1 })
  await seen.numbers(1, 1)
  const At = new Date().toISOString().replace('Z', '000+00:00')
  for (const Content of ['b', 'c', 'b']) await world('commit', { Room: id, Op: 'UPDATE', ID: 'm1', Content, At })
  for (const Op of ['INSERT', 'DELETE', 'INSERT']) await world('commit', { Room: id, Op, ID: 'x', Content: 'again', At })
  await seen.until((s) => s.length === 7, 'all')
  await pause(1500) // and the numbers, which say the same
  assert.deepEqual(seen.seen, ['1', 'message-updated m1 b', 'message-updated m1 c', 'message-updated m1 b', 'again', 'message-deleted x again', 'again'])
})

test('the list of one\'s rooms, and what is read in them', async () => {
  const p = await page({ settle: 0 }), id = fresh('a room/')
  assert.deepEqual(await p.rooms.inbox(), [])
  await p.rooms.read(id, 4)
  assert.deepEqual(await p.rooms.inbox(), [{ room: id, epoch: 'e1', head: 9, read: 4, unread: 5 }])
})
