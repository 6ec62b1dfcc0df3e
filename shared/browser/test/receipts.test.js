// Receipts, with the clock and the function in the test's hands.
import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'
import { sendReceipts } from '../receipts.js'

let posts, answer, now

beforeEach(() => {
  posts = []
  answer = () => Response.json({ every: 60 })
  mock.restoreAll()
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1795379273116 })
  mock.method(Math, 'random', () => 0)
  mock.method(globalThis, 'fetch', async (address, { headers, body }) => {
    posts.push({ address, bearer: headers.Authorization, ...JSON.parse(body) })
    return answer(posts.length)
  })
})

/** Lets everything happen that is due within so many seconds. */
async function pass(seconds) {
  for (let i = 0; i <= seconds; i++) {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve()
    if (i < seconds) mock.timers.tick(1000)
  }
}

/** A room's page: what came, by which side. */
function page(more) {
  const see = sendReceipts({ url: 'https://f', sample: 0, token: async (renew) => renew ? 'newer' : 'token', ...more })
  let seq = 0
  const event = (name = 'new-message') => ({ name, seq: ++seq, data: { roomcast: { at: new Date().toISOString() } } })
  const by = (side, of, more) => see({ room: 'r', mode: 'both', side, event: of, ...more })
  const both = (e = event()) => { by('pusher', e); by('supabase', e) }
  return { event, by, both }
}

const brief = (p) => [p.n, p.both, p.pusher, p.supabase, p.fetched, p.pusherRepeats, p.supabaseRepeats, p.flips].join(' ')
const sum = (list) => list.reduce((a, b) => a + b)

test('a receipt: what both brought, what one brought, repeats, flips, delays', async () => {
  const { by, both, event } = page()
  both()
  const [a, b, c, d, e] = [event(), event(), event(), event(), event()]
  mock.timers.tick(25)
  by('pusher', a); by('pusher', b); by('pusher', { name: b.name, seq: b.seq }, { how: 'again' })
  mock.timers.tick(200)
  by('supabase', b); by('supabase', a)
  by('pusher', c, { how: 'fetched' })
  by('supabase', d)
  by('pusher', e, { how: 'fetched' }); by('pusher', e, { how: 'fetched' }); by('supabase', e)
  await pass(60)
  const [{ page: id, until, pusherDelays, supabaseDelays, ...rest }] = posts
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4/)
  assert.equal(until, Date.now())
  assert.deepEqual(rest, { address: 'https://f/parity', bearer: 'Bearer token', room: 'r', mode: 'both', n: 1,
    both: 4, pusher: 1, supabase: 1, fetched: 2, pusherRepeats: 1, supabaseRepeats: 0, flips: 1 })
  // 25 ms lie between 2^4.5 and 2^5, 225 ms between 2^7.5 and 2^8; what was fetched is not timed.
  assert.deepEqual([pusherDelays[10], sum(pusherDelays)], [2, 3])
  assert.deepEqual([supabaseDelays[16], sum(supabaseDelays)], [4, 5])
})

test('only messages are compared: of members, deletions and edits one side may be silent by design', async () => {
  const { by, both, event } = page()
  both()
  for (const name of ['user-joined', 'user-left', 'user-online', 'message-deleted', 'message-updated']) {
    for (const side of ['pusher', 'supabase']) by(side, event(name))
    by('pusher', event(name), { how: 'fetched' })
    by('pusher', event(name), { how: 'again' })
  }
  by('pusher', event())
  await pass(61)
  assert.deepEqual(posts.map(brief), ['1 1 1 0 0 0 0 0'])
})

test('what was fetched and is pushed after all was late, not lost, and no repeat', async () => {
  const { by, both, event } = page()
  both()
  const e = event(), again = () => by('pusher', { name: e.name, seq: e.seq, at: e.data.roomcast.at }, { how: 'again' })
  by('supabase', e)
  by('pusher', e, { how: 'fetched' })
  mock.timers.tick(100)
  again()
  again()
  await pass(61)
  assert.deepEqual(posts.map(brief), ['1 2 0 0 0 1 0 0'])
  assert.equal(posts[0].pusherDelays[14], 1) // 2^6.5 to 2^7 ms
})

test('an event counts half a minute later, and once', async () => {
  const { by, both, event } = page()
  both()
  await pass(59)
  const late = event()
  by('pusher', late)
  await pass(62)
  by('supabase', late) // after it was told as missing
  both()
  await pass(61)
  assert.deepEqual(posts.map(brief), ['1 1 0 0 0 0 0 0', '2 0 1 0 0 0 0 0', '3 1 0 0 0 0 0 0'])
})

test('what came before both were heard, or in another mode, is nobody’s loss', async () => {
  const { by, both, event } = page()
  by('pusher', event())
  await pass(90)
  by('pusher', event())
  mock.timers.tick(10)
  both()
  by('pusher', event())
  by('pusher', event(), { mode: 'pusher' }) // from here on nobody listens to Supabase
  by('pusher', event())
  await pass(120)
  both()
  by('supabase', event())
  await pass(122)
  assert.deepEqual(posts.map(brief), ['1 1 0 0 0 0 0 0', '2 1 0 1 0 0 0 0'])
})

test('nothing goes where nothing happened, and no timer waits', async () => {
  const { both } = page()
  both()
  await pass(600)
  assert.equal(posts.length, 1)
  const timers = mock.method(globalThis, 'setTimeout')
  await pass(600)
  assert.equal(timers.mock.callCount(), 0)
  both()
  await pass(60)
  assert.deepEqual(posts.map((p) => [p.n, p.page === posts[0].page]), [[1, true], [2, true]])
})

test('without an answer the same receipt comes again; what was counted meanwhile goes with the next', async () => {
  answer = (n) => { if (n < 3) throw new TypeError('fetch failed'); return Response.json({ every: 60 }) }
  const { both } = page()
  both()
  await pass(61)
  both()
  both()
  await pass(120)
  assert.deepEqual(posts.map((p) => `${p.n}:${p.both}`), ['1:1', '1:1', '1:1', '2:2'])
  assert.ok(posts[2].until > posts[0].until, 'the time is that of each try')
})

test('a function that is full is left alone for as long as it asks', async () => {
  answer = (n) => n === 1 ? new Response('', { status: 503, headers: { 'Retry-After': '30' } }) : Response.json({ every: 60 })
  page().both()
  await pass(89)
  assert.equal(posts.length, 1)
  await pass(2)
  assert.deepEqual(posts.map((p) => p.n), [1, 1])
})

test('the function sets the pace', async () => {
  answer = () => Response.json({ every: 600 })
  const { both } = page()
  for (let minute = 0; minute < 10; minute++) {
    both()
    await pass(60)
  }
  assert.equal(posts.length, 1)
  await pass(61)
  assert.deepEqual(posts.map((p) => p.both), [1, 9])
})

test('an expired token is renewed once; a refused receipt is not sent again, a later one is', async () => {
  answer = (n) => new Response('', { status: n < 3 ? 401 : 400 })
  const { both } = page()
  both()
  await pass(120)
  assert.deepEqual(posts.map((p) => p.bearer), ['Bearer token', 'Bearer newer'])
  both()
  await pass(61)
  assert.deepEqual(posts.map((p) => p.n), [1, 1, 2])
})

test('under load the oldest go untold, and the page keeps no more than it must', async () => {
  const { by, both, event } = page()
  both()
  for (let i = 0; i < 5000; i++) by('pusher', event())
  await pass(60)
  assert.deepEqual(posts.map((p) => p.pusher), [2000])
})

test('after the move a sample of pages tells how messages come', async () => {
  const see = sendReceipts({ url: 'https://f', token: async () => 'token', sample: 0.01 })
  let seq = 0
  const message = (more) => see({ room: 'r' + seq % 2, mode: 'pusher', side: 'pusher',
    event: { name: 'new-message', seq: ++seq, data: { roomcast: { at: new Date(Date.now() - 25).toISOString() } } }, ...more })
  message(); message()
  message({ how: 'fetched', status: 'live', live: Date.now() - 60_000 })
  message({ how: 'fetched', status: 'live', live: Date.now() - 1000 })
  message({ how: 'fetched', status: 'polling', live: Date.now() })
  message({ how: 'again' })
  message({ side: 'supabase', mode: 'supabase' })
  see({ room: 'r', mode: 'pusher', side: 'pusher', event: { name: 'user-joined', seq: 99, data: {} } })
  await pass(60)
  const [{ page: id, until, delays, ...rest }] = posts
  assert.deepEqual(rest, { address: 'https://f/parity', bearer: 'Bearer token', mode: 'delivery', n: 1,
    pushed: 2, gap: 1, reconnect: 1, polled: 1, supabase: 1, latePushed: 0, lateGap: 0, lateReconnect: 0, latePolled: 0,
    lateSupabase: 0, void: 0, missing: 0, window: 0 })
  assert.deepEqual([delays[10], sum(delays), posts.length], [6, 6, 1])
  await pass(600)
  assert.equal(posts.length, 1) // nothing happened
  message()
  await pass(60)
  assert.deepEqual([posts[1].n, posts[1].page, posts[1].pushed], [2, id, 1])
})

test('what came late is told by the way it came, and what never came by why', async () => {
  const see = sendReceipts({ url: 'https://f', token: async () => 'token', sample: 1 })
  let seq = 0
  const message = (ms, more) => see({ room: 'r', mode: 'pusher', side: 'pusher', status: 'live', live: Date.now() - 60_000,
    event: { name: 'new-message', seq: ++seq, data: { roomcast: { at: new Date(Date.now() - ms).toISOString() } } }, ...more })
  const lost = (how, numbers) => see({ room: 'r', mode: 'pusher', side: 'pusher', event: { name: '', seq: 9 }, how, numbers })
  message(3000); message(8000); message(8000)
  message(9000, { how: 'fetched' })
  message(9000, { how: 'fetched', status: 'polling' }); message(9000, { how: 'fetched', status: 'polling' })
  message(9000, { how: 'fetched', live: Date.now() })
  message(9000, { side: 'supabase' })
  await pass(60)
  lost('void', 3); lost('missing', 1); lost('window', 20)
  await pass(60)
  const late = ({ latePushed, lateGap, lateReconnect, latePolled, lateSupabase, delays }) =>
    [latePushed, lateGap, lateReconnect, latePolled, lateSupabase, sum(delays.slice(25))]
  assert.deepEqual(late(posts[0]), [2, 1, 1, 2, 1, 7])
  assert.deepEqual([posts[1].void, posts[1].missing, posts[1].window, posts[1].pushed], [3, 1, 20, 0])
})

test('a page that is not in the sample sends nothing after the move', async () => {
  mock.restoreAll()
  mock.method(Math, 'random', () => 0.5)
  mock.method(globalThis, 'fetch', async () => { posts.push('sent'); return answer() })
  const see = sendReceipts({ url: 'https://f', token: async () => 'token' })
  see({ room: 'r', mode: 'pusher', side: 'pusher', event: { name: 'new-message', seq: 1, data: {} } })
  await pass(600)
  assert.equal(posts.length, 0)
})

test('tokens that expire within a minute of each other: no receipt is lost', async () => {
  let valid = 'one', issued = 'one'
  const token = async (renew) => renew ? issued = valid : issued
  const taken = []
  answer = (n) => {
    if (posts[n - 1].bearer !== 'Bearer ' + valid) return new Response('', { status: 401 })
    taken.push(posts[n - 1].both)
    return Response.json({ every: 60 })
  }
  const { both } = page({ token, every: 10 })
  for (const next of ['two', 'three', 'four']) {
    both()
    valid = next
    await pass(30)
  }
  await pass(60)
  assert.equal(sum(taken), 3)
})
