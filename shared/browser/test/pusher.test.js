// Mode 'pusher': the numbers are all there is to go by.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { closeAll, fresh, live, page, watch, world, WORLD } from './world.js'

afterEach(closeAll)

const SEED = Number(process.env.SEED)

async function joined(options, joinOptions) {
  const p = await page(options)
  const id = fresh('room')
  const room = p.rooms.join(id, joinOptions)
  const seen = watch(room)
  await live(room)
  return { ...p, id, room, ...seen, until: seen.until, numbers: seen.numbers.bind(seen) }
}

test('messages arrive, edited and deleted too', async () => {
  const r = await joined()
  await world('commit', { Room: r.id, N: 2 })
  await world('commit', { Room: r.id, Op: 'UPDATE', ID: 'm1', Content: 'edited' })
  await world('commit', { Room: r.id, Op: 'DELETE', ID: 'm2' })
  await r.until((s) => s.length === 4, 'four events')
  assert.deepEqual(r.seen, ['1', '2', 'message-updated m1 edited', 'message-deleted m2'])
})

for (let i = 0; i < 3; i++) {
  test(`drops, repeats and reorderings, seed ${SEED + i}`, async () => {
    const r = await joined()
    await world('commit', { Room: r.id, N: 300, Every: 2, Lose: 0.1, Repeat: 0.1, Swap: 0.15, Seed: SEED + i })
    await r.numbers(1, 300)
  })
}

test('all is lost', async () => {
  const r = await joined({ settle: 0 })
  await world('commit', { Room: r.id, N: 450, Lose: 1 })
  await world('commit', { Room: r.id, N: 1 }) // shows the gap, which takes three pages
  await r.numbers(1, 451)
})

test('the last one is lost: found after the burst, and nothing is polled after that', async () => {
  const r = await joined({ settle: 200 })
  await world('commit', { Room: r.id, N: 3 })
  await r.numbers(1, 3)
  await world('commit', { Room: r.id, N: 1, Only: 'supabase' })
  await r.numbers(1, 4)
  await new Promise((done) => setTimeout(done, 700)) // the check after that one
  await world('counts', { Reset: true })
  await new Promise((done) => setTimeout(done, 1000))
  assert.deepEqual(Object.keys(await world('counts')).filter((route) => route.includes('rooms')), [])
})

test('a page in the background asks nothing, and for what it missed when it comes to the front', async (t) => {
  const listeners = {}
  t.after(() => { delete globalThis.addEventListener; delete globalThis.document })
  globalThis.addEventListener = (name, fn) => listeners[name] = fn
  const r = await joined({ settle: 50 })
  await new Promise((done) => setTimeout(done, 300)) // the fetch of everybody who joins
  globalThis.document = { hidden: true }
  await world('counts', { Reset: true })
  await world('commit', { Room: r.id, N: 1 })
  await world('commit', { Room: r.id, N: 2, Only: 'supabase' }) // lost in a connection that stays up
  await r.numbers(1, 1)
  listeners.visibilitychange()
  await new Promise((done) => setTimeout(done, 300))
  assert.equal((await world('counts'))['/rooms/{room}/events'], undefined)
  globalThis.document.hidden = false
  listeners.visibilitychange()
  await r.numbers(1, 3)
})

test('early events wait for their turn without a fetch', async () => {
  const r = await joined({ settle: 0 })
  await new Promise((done) => setTimeout(done, 300)) // the fetch of everybody who joins
  await world('counts', { Reset: true })
  await world('commit', { Room: r.id, N: 400, Every: 2, Swap: 0.4, Seed: SEED })
  await r.numbers(1, 400)
  const fetches = (await world('counts'))['/rooms/{room}/events'] ?? 0
  assert.ok(fetches < 3, `${fetches} fetches`) // a busy machine can make a pause of its own
})

test('joining a busy room without `after` loses nothing that comes meanwhile', async () => {
  const id = fresh('room'), p = await page()
  await world('commit', { Room: id, N: 5 })
  const writing = world('commit', { Room: id, N: 60, Every: 4 })
  const seen = watch(p.rooms.join(id))
  await writing
  await seen.until((s) => s.at(-1) === '65', 'the last')
  const first = Number(seen.seen[0])
  assert.ok(first > 5 && first < 40, `began with ${first}`)
  assert.deepEqual(seen.seen.map(Number), Array.from({ length: 66 - first }, (_, i) => first + i))
})

test('`after` continues a page: by seq, by position, by the event itself', async () => {
  const id = fresh('room'), p = await page()
  await world('commit', { Room: id, N: 5 })
  const whole = watch(p.rooms.join(id, { after: 0 }))
  await whole.numbers(1, 5)
  for (const after of [3, { seq: 3, epoch: 'e1' }, { id: 'm3', roomcast: { seq: 3, epoch: 'e1', at: '' } }]) {
    await watch(p.rooms.join(id, { after })).numbers(4, 5)
  }
})

test('stubs, void numbers and lost events are fetched in their places', async () => {
  const r = await joined({ settle: 0 })
  await world('commit', { Room: r.id, N: 2 })
  await world('commit', { Room: r.id, N: 2, Size: 20000 })
  await world('commit', { Room: r.id, Void: true })
  await world('commit', { Room: r.id, N: 1 })
  await r.until((s) => s.at(-1) === '6', 'the last')
  assert.deepEqual(r.seen, ['1', '2', '3', '4', '6'])
})

test('a cut: what was written meanwhile comes first', async () => {
  const r = await joined({ settle: 0 })
  await world('commit', { Room: r.id, N: 2 })
  await r.numbers(1, 2)
  for (let cut = 0; cut < 4; cut++) { // pusher-js gives WebSockets up after two
    await world('cut')
    await world('commit', { Room: r.id, N: 5 })
    await r.numbers(1, 2 + 5 * (cut + 1))
  }
})

test('Pusher restarts', async () => {
  const r = await joined({ settle: 0 })
  const writing = world('commit', { Room: r.id, N: 60, Every: 20 })
  await world('restart', { Ms: 300 })
  await writing
  await r.numbers(1, 60)
})

test('the server ends the connection (4009), and the room comes back', async () => {
  const r = await joined({ settle: 0 })
  const back = new Promise((done) => r.pusher.connection.bind('disconnected', () => r.pusher.connection.bind('connected', done)))
  await world('close', { Code: 4009 })
  await world('commit', { Room: r.id, N: 3 })
  await back
  await r.numbers(1, 3)
})

test('the token expires: fetches and authorizations get a new one', async () => {
  const r = await joined({ settle: 0 })
  await world('expire')
  await world('cut')
  await world('commit', { Room: r.id, N: 3 })
  await r.numbers(1, 3)
  await live(r.room)
})

test('a restored database: reset, then the new numbers', async () => {
  const r = await joined({ settle: 0 })
  await world('commit', { Room: r.id, N: 5 })
  await r.numbers(1, 5)
  await world('restore', { Room: r.id, Head: 3 })
  await world('commit', { Room: r.id, N: 3 }) // 4 to 6 of the new epoch
  await r.until((s) => s.some((x) => x.startsWith('reset')), 'reset')
  await world('commit', { Room: r.id, N: 2 })
  await r.until((s) => s.at(-1) === '10', 'the last')
  assert.deepEqual(r.seen.slice(0, 6), ['1', '2', '3', '4', '5', 'reset epoch'])
  const rest = r.seen.slice(6).map(Number) // what the app's reload would not have had
  assert.deepEqual(rest, Array.from({ length: rest.length }, (_, i) => 11 - rest.length + i))
})

test('away for longer than events are kept: reset', async () => {
  const id = fresh('room'), p = await page()
  await world('commit', { Room: id, N: 5 })
  await world('clean', { Room: id })
  const seen = watch(p.rooms.join(id, { after: 2 }))
  await seen.until((s) => s.length > 0, 'reset')
  await world('commit', { Room: id, N: 2 })
  await seen.until((s) => s.at(-1) === '7', 'the last')
  assert.deepEqual(seen.seen, ['reset window', '6', '7'])
})

test('presence channels, and room ids of any text', async () => {
  const p = await page({ channel: 'presence' }), id = fresh('presence: é/ 🎈 #=?')
  const room = p.rooms.join(id), seen = watch(room)
  await live(room)
  await world('commit', { Room: id, N: 1 })
  await seen.numbers(1, 1)
  await world('cut')
  await world('commit', { Room: id, N: 2 })
  await seen.numbers(1, 3)
  assert.throws(() => p.rooms.join('x'.repeat(200)), RangeError)
})

test('another user signs in: nothing of the first is left', async () => {
  const r = await joined({ settle: 0 })
  const socket = r.pusher.connection.socket_id
  await world('commit', { Room: r.id, N: 1 })
  await r.numbers(1, 1)
  await world('deny', { User: r.user, On: true })
  await r.login(fresh('user'))
  await r.until((s) => s.includes('reset user'), 'reset')
  await live(r.room)
  assert.notEqual(r.pusher.connection.socket_id, socket)
  await world('commit', { Room: r.id, N: 2 })
  await r.until((s) => s.at(-1) === '3', 'the last')
  assert.deepEqual(r.seen, ['1', 'reset user', '2', '3'])
})

test('signing out closes the rooms', async () => {
  const r = await joined({ settle: 0 })
  await r.supabase.auth.signOut({ scope: 'local' })
  await r.until((s) => s.includes('reset user'), 'reset')
  await world('commit', { Room: r.id, N: 1 })
  await new Promise((done) => setTimeout(done, 300))
  assert.deepEqual(r.seen, ['reset user'])
  assert.equal(r.pusher.channel(`private-room-${r.id}`), undefined)
})

test('a bot with a token of its own needs no supabase-js', async () => {
  const id = fresh('room')
  let asked = 0
  const session = async () => (await world('login', { User: 'bot' })).access_token
  let jwt = await session()
  const p = await page({ supabase: undefined, token: async (renew) => (asked++, renew ? jwt = await session() : jwt) })
  const room = p.rooms.join(id), seen = watch(room)
  await live(room)
  await world('expire')
  await world('cut')
  await world('commit', { Room: id, N: 2 })
  await seen.numbers(1, 2)
  assert.ok(asked > 0)
})

test('plain handlers go on beside a room, and after it', async () => {
  const p = await page(), id = fresh('room')
  const plain = []
  const channel = p.pusher.subscribe(`private-room-${id}`)
  channel.bind('new-message', (m) => plain.push(m.content))
  const room = p.rooms.join(id), seen = watch(room)
  await live(room)
  await world('commit', { Room: id, N: 1 })
  await seen.numbers(1, 1)
  room.leave()
  await world('commit', { Room: id, N: 1 })
  await new Promise((done) => { channel.bind('new-message', (m) => m.content === '2' && done()) ; if (plain.includes('2')) done() })
  assert.deepEqual([plain, seen.seen], [['1', '2'], ['1']])
})

test('strict mode: join, leave and join at once; two rooms of one id', async () => {
  const p = await page({ settle: 0 }), id = fresh('room')
  p.rooms.join(id).leave()
  const one = p.rooms.join(id), two = p.rooms.join(id)
  const first = watch(one), second = watch(two)
  await Promise.all([live(one), live(two)])
  await world('commit', { Room: id, N: 2 })
  await Promise.all([first.numbers(1, 2), second.numbers(1, 2)])
  one.leave()
  await world('commit', { Room: id, N: 2 })
  await second.numbers(1, 4)
  assert.deepEqual(first.seen, ['1', '2'])
  assert.ok(p.pusher.channel(`private-room-${id}`))
  two.leave()
  assert.equal(p.pusher.channel(`private-room-${id}`), undefined)
})

test('a handler that throws stops nobody', async () => {
  const r = await joined()
  const errors = []
  globalThis.reportError = (err) => errors.push(err.message)
  r.room.on('new-message', () => { throw new Error('of the app') })
  await world('commit', { Room: r.id, N: 2 })
  await r.numbers(1, 2)
  delete globalThis.reportError
  assert.deepEqual(errors, ['of the app', 'of the app'])
})

test('other channels keep the app\'s own authorizer', async () => {
  const p = await page()
  const asked = []
  p.rooms.close()
  p.pusher.config.channelAuthorizer = ({ channelName }, done) => { asked.push(channelName); done(new Error('no'), null) }
  const { createRoomcast } = await import('../roomcast.js')
  const rooms = createRoomcast({ pusher: p.pusher, supabase: p.supabase, url: WORLD, mode: 'pusher' })
  const refused = new Promise((done) => p.pusher.subscribe('private-other').bind('pusher:subscription_error', done))
  const room = rooms.join(fresh('room'))
  await live(room)
  await refused
  rooms.close()
  assert.deepEqual(asked, ['private-other'])
})
