// Refusals and failures of the function, which take their time to be repeated.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { closeAll, fresh, live, page, watch, world } from './world.js'

afterEach(closeAll)

test('refused, then let in: a new member need not reload', async () => {
  const id = fresh('room'), p = await page()
  await world('deny', { Room: id, On: true })
  const room = p.rooms.join(id), seen = watch(room)
  setTimeout(() => world('deny', { Room: id, On: false }), 300)
  await live(room)
  await world('commit', { Room: id, N: 2 })
  await seen.numbers(1, 2)
})

test('refused for good: told once, and not asked for ever', async () => {
  const id = fresh('room'), p = await page()
  await world('deny', { Room: id, On: true })
  const seen = watch(p.rooms.join(id))
  await seen.until((s) => s.length > 0, 'the refusal', 30000)
  assert.deepEqual(seen.seen, ['denied'])
})

test('the function is down for a while', async () => {
  const id = fresh('room'), p = await page({ settle: 0 })
  const room = p.rooms.join(id), seen = watch(room)
  await live(room)
  await world('down', { On: true })
  await world('commit', { Room: id, N: 3, Lose: 1 })
  await world('commit', { Room: id, N: 1 })
  setTimeout(() => world('down', { On: false }), 1500)
  await seen.numbers(1, 4)
})
