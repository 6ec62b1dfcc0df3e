// Mode 'both': each message once, whichever side brings it first.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { common, joined } from './scenarios.js'
import { closeAll, world } from './world.js'

afterEach(closeAll)
common('both')

test('each once, edited and deleted too', async () => {
  const r = await joined('both', { settle: 300 })
  await world('commit', { Room: r.id, N: 2 })
  for (const Content of ['A', 'B', 'A']) await world('commit', { Room: r.id, Op: 'UPDATE', ID: 'm1', Content })
  await world('commit', { Room: r.id, Op: 'DELETE', ID: 'm2' })
  const want = ['1', '2', 'message-updated m1 A', 'message-updated m1 B', 'message-updated m1 A', 'message-deleted m2']
  await r.until((s) => s.length === want.length, 'all')
  await new Promise((done) => setTimeout(done, 1000)) // Supabase's come later, and the check after the burst
  assert.deepEqual(r.seen, want)
})

test('Pusher loses everything', async () => {
  const r = await joined('both', { settle: 0 })
  await world('commit', { Room: r.id, N: 30, Every: 15, Only: 'supabase' })
  await r.numbers(1, 30)
})

test('Supabase loses everything', async () => {
  const r = await joined('both', { settle: 0 })
  await world('commit', { Room: r.id, N: 30, Every: 5, Only: 'pusher' })
  await r.numbers(1, 30)
})
