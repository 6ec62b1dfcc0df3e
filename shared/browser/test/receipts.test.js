// The sender of receipts, with the clock and the function in the test's hands.
import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'
import { sendReceipts } from '../receipts.js'

const counts = (more) => ({ room: 'r', mode: 'both', both: 1, pusher: 0, supabase: 0, fetched: 0, pusherDelays: [0, 1, 0], supabaseDelays: [0, 0, 1], ...more })
let posts, answer

beforeEach(() => {
  posts = []
  answer = () => Response.json({ every: 60 })
  mock.restoreAll()
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  mock.method(globalThis, 'fetch', async (address, { headers, body }) => {
    posts.push({ address, bearer: headers.Authorization, ...JSON.parse(body) })
    return answer(posts.length)
  })
})

/** Lets everything happen that is due within so many seconds. */
async function pass(seconds) {
  for (let i = 0; i <= seconds; i++) {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve()
    mock.timers.tick(i < seconds ? 1000 : 0)
  }
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

const sender = () => sendReceipts({ url: 'https://f', token: async (renew) => renew ? 'newer' : 'token' })
const brief = () => posts.map((p) => `${p.n}:${p.both}`)

test('a receipt goes at once, with a page, a number and the time', async () => {
  const send = sender()
  send(counts())
  await pass(1)
  const [{ page, until, ...rest }] = posts
  assert.match(page, /^[0-9a-f]{8}-[0-9a-f]{4}-4/)
  assert.equal(typeof until, 'number')
  assert.deepEqual(rest, { ...counts(), n: 1, address: 'https://f/parity', bearer: 'Bearer token' })
  send(counts({ both: 2 }))
  send(counts({ room: 'other' }))
  await pass(1)
  const second = posts.find((p) => p.both === 2), other = posts.find((p) => p.room === 'other')
  assert.deepEqual([posts.length, second.n, second.page, other.n], [3, 2, page, 1])
  assert.notEqual(other.page, page)
})

test('nothing goes where nothing happened, or in another mode', async () => {
  const send = sender()
  send(counts({ both: 0, pusherDelays: [0], supabaseDelays: [] }))
  send(counts({ mode: 'pusher' }))
  await pass(90)
  assert.equal(posts.length, 0)
})

test('without an answer the same receipt comes again; what was counted meanwhile goes with the next', async () => {
  answer = (n) => { if (n < 3) throw new TypeError('fetch failed'); return Response.json({ every: 60 }) }
  const send = sender()
  send(counts())
  await pass(1)
  send(counts({ both: 2 }))
  send(counts({ both: 3, supabase: 1 }))
  await pass(30)
  assert.deepEqual(brief(), ['1:1', '1:1', '1:1', '2:5'])
  assert.deepEqual([posts[3].supabase, posts[3].pusherDelays], [1, [0, 2, 0]])
  assert.ok(posts[2].until > posts[0].until, 'the time is anew at every try')
})

test('a function that is full is left alone for as long as it asks', async () => {
  answer = (n) => n === 1 ? new Response('', { status: 503, headers: { 'Retry-After': '30' } }) : Response.json({ every: 60 })
  sender()(counts())
  await pass(29)
  assert.deepEqual(brief(), ['1:1'])
  await pass(20)
  assert.deepEqual(brief(), ['1:1', '1:1'])
})

test('the function sets the pace', async () => {
  answer = () => Response.json({ every: 600 })
  const send = sender()
  for (let minute = 0; minute < 9; minute++) {
    send(counts())
    await pass(60)
  }
  assert.deepEqual(brief(), ['1:1'])
  await pass(400)
  assert.deepEqual(brief(), ['1:1', '2:8'])
})

test('an expired token is renewed once', async () => {
  answer = () => new Response('', { status: 401 })
  sender()(counts())
  await pass(60)
  assert.deepEqual(posts.map((p) => p.bearer), ['Bearer token', 'Bearer newer'])
})

test('a receipt that was refused is not sent again, a later one is', async () => {
  answer = (n) => n === 1 ? new Response('', { status: 400 }) : Response.json({ every: 60 })
  const send = sender()
  send(counts())
  await pass(60)
  send(counts({ both: 2 }))
  await pass(60)
  assert.deepEqual(brief(), ['1:1', '2:2'])
})
