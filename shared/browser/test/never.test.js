// The client never goes silent: whatever hangs, fails or dies, messages are shown.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { closeAll, fresh, joined, live, page, pause, until, watch, world } from './world.js'

afterEach(closeAll)

for (const channel of ['private', 'packed']) {
  test(`a gap is fetched while events go on: ${channel}`, async () => {
    const p = await page({ settle: 0, channel }), id = fresh(channel === 'packed' ? 'packed' : 'room')
    const room = p.rooms.join(id), seen = watch(room)
    await live(room)
    await world('commit', { Room: id, N: 4 })
    await seen.numbers(1, 4)
    await world('commit', { Room: id, N: 1, Only: 'supabase' }) // 5 is lost
    let written = false // 200 ms by a clock of its own: see timing.test.js
    const writing = world('commit', { Room: id, N: 100, Every: 30 }).then(() => written = true)
    await seen.until((s) => s.includes('5'), '5')
    assert.equal(written, false, 'the gap was fetched only when events paused')
    await writing
    await seen.numbers(1, 105)
  })
}

test('a token that never comes is a failure after ten seconds', async () => {
  const { access_token } = await world('login', { User: 'bot' })
  let hang = false
  const r = await joined({ settle: 0, supabase: undefined, token: () => hang ? new Promise(() => {}) : access_token })
  hang = true
  await world('commit', { Room: r.id, N: 1, Only: 'supabase' })
  await world('commit', { Room: r.id, N: 1 })
  await pause(1000)
  hang = false
  await r.numbers(1, 2)
})

test('getSession() that never resolves is not waited for', async () => {
  const r = await joined({ settle: 0 })
  r.supabase.auth.getSession = () => new Promise(() => {})
  await world('commit', { Room: r.id, N: 1, Only: 'supabase' })
  await world('commit', { Room: r.id, N: 1 })
  await r.until((s) => s.includes('2'), 'both')
})

test('a failed sign-in is tried again on the same socket, so that the server can end it', async () => {
  await world('signin', { N: 2 })
  const r = await joined({ settle: 0 })
  const socket = r.pusher.connection.socket_id
  await until(() => r.pusher.user.user_data, 'signed in')
  assert.equal(r.pusher.connection.socket_id, socket)
  await world('terminate', { User: r.user })
  await until(() => r.pusher.connection.socket_id !== socket, 'cut')
})

test('who sees the own user-left asks, is refused, and hears nothing more', async () => {
  const r = await joined({ settle: 0 })
  await world('deny', { Room: r.id, User: r.user, On: true })
  await world('deny', { User: r.user, On: true })
  await world('commit', { Room: r.id, Name: 'user-left', Data: { user_id: r.user } })
  await r.until((s) => s.includes('denied'), 'the refusal')
  await world('commit', { Room: r.id, N: 2 })
  await pause(300)
  assert.deepEqual(r.seen, ['user-left undefined', 'denied'])
  await world('deny', { User: r.user, On: false })
  r.rooms.wake() // let in again
  await r.until((s) => s.includes('2'), 'what was written meanwhile')
})

test('an engine without AbortSignal.timeout, atob, document and window events', async () => {
  const { timeout } = AbortSignal, { atob } = globalThis
  delete AbortSignal.timeout
  delete globalThis.atob
  try {
    const { access_token } = await world('login', { User: fresh('native') })
    const r = await joined({ settle: 0, supabase: undefined, token: () => access_token })
    await world('commit', { Room: r.id, N: 2 })
    await r.numbers(1, 2)
    await world('commit', { Room: r.id, N: 1, Only: 'supabase' })
    r.rooms.wake() // AppState is active again
    await r.numbers(1, 3)
  } finally {
    AbortSignal.timeout = timeout
    globalThis.atob = atob
  }
})

test('a socket that died without an end is found by a fetch, and replaced', async () => {
  const r = await joined({ settle: 3000 }) // longer than a slow machine takes to commit
  const socket = r.pusher.connection.socket_id
  await world('commit', { Room: r.id, N: 1 })
  await r.numbers(1, 1)
  await world('freeze')
  await world('commit', { Room: r.id, N: 1 })
  await r.numbers(1, 2) // by the check after the burst
  await until(() => ![undefined, socket].includes(r.pusher.connection.socket_id) && r.pusher.connection.state === 'connected', 'another socket')
  await until(() => r.pusher.channel(`private-room-${r.id}`).subscribed, 'subscribed')
  const pushed = new Promise((done) => r.pusher.channel(`private-room-${r.id}`).bind('new-message', done))
  await world('commit', { Room: r.id, N: 1 })
  await r.numbers(1, 3)
  await pushed
})

test('one lost message makes one new socket, and no trust is lost when events are pushed again', async () => {
  const r = await joined({ settle: 200 })
  let connections = 0
  r.pusher.connection.bind('connected', () => connections++)
  await world('commit', { Room: r.id, N: 1 })
  await r.numbers(1, 1)
  await world('commit', { Room: r.id, N: 1, Only: 'supabase' })
  await r.numbers(1, 2)
  await until(() => connections === 1, 'a new socket')
  assert.equal(r.rooms.status, 'polling')
  await until(() => r.pusher.channel(`private-room-${r.id}`).subscribed, 'subscribed')
  await world('commit', { Room: r.id, N: 1 })
  await r.numbers(1, 3)
  await until(() => r.rooms.status === 'live', 'trusted')
  await pause(1000)
  assert.equal(connections, 1)
})
