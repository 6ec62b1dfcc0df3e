// Mode 'supabase': Supabase brings the messages, the numbers fill its gaps.
import { afterEach, test } from 'node:test'
import { common, joined } from './scenarios.js'
import { closeAll, realtimeLive, world } from './world.js'

afterEach(closeAll)
common('supabase')

test('a premature SUBSCRIBED and the gap of a cut', async () => {
  const r = await joined('supabase', { settle: 400 })
  await world('cut')
  await world('commit', { Room: r.id, N: 5 })
  await realtimeLive(1)
  await r.numbers(1, 5)
})
