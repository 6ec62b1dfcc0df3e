// What modes 'both' and 'supabase' must both come through. A file for each runs them,
// so that they run side by side.
import { test } from 'node:test'
import { fresh, live, page, realtimeLive, watch, world } from './world.js'

const SEED = Number(process.env.SEED)

/** A page that listens to a room of its own. */
export async function joined(mode, options) {
  await realtimeLive(0) // the last test's have gone
  const p = await page({ mode, ...options })
  const id = fresh('room')
  const room = p.rooms.join(id), seen = watch(room)
  if (mode !== 'supabase') await live(room)
  if (mode !== 'pusher') await realtimeLive(1)
  return { ...p, id, room, ...seen, numbers: seen.numbers.bind(seen) }
}

/** @param {'both' | 'supabase'} mode */
export function common(mode) {
  test(`${mode}: Roomcast is away, and comes back`, async () => {
    const r = await joined(mode, { settle: 400 })
    await world('commit', { Room: r.id, N: 2 })
    await r.numbers(1, 2)
    await world('down', { On: true })
    await world('commit', { Room: r.id, N: 10, Every: 10, Only: 'supabase' })
    await r.numbers(1, 12)
    await world('down', { On: false })
    await world('commit', { Room: r.id, N: 10, Every: 10 })
    await r.numbers(1, 22)
    await new Promise((done) => setTimeout(done, 1500)) // what is fetched now was shown before
    await r.numbers(1, 22)
  })

  test(`${mode}: Roomcast was never there`, async () => {
    await realtimeLive(0)
    await world('down', { On: true })
    const p = await page({ mode }), id = fresh('room')
    const seen = watch(p.rooms.join(id))
    await realtimeLive(1)
    await world('commit', { Room: id, N: 5, Every: 20, Only: 'supabase' })
    await seen.numbers(1, 5)
    await world('down', { On: false })
  })

  test(`${mode}: drops, repeats, reorderings and cuts, seed ${SEED}`, async () => {
    const r = await joined(mode, { settle: 500 })
    const writing = world('commit', { Room: r.id, N: 200, Every: 20, Lose: 0.15, Repeat: 0.1, Swap: 0.15, Seed: SEED })
    for (let i = 0; i < 3; i++) {
      await new Promise((done) => setTimeout(done, 900))
      await world('cut')
    }
    await writing
    await r.numbers(1, 200)
  })

  test(`${mode}: the token expires`, async () => {
    const r = await joined(mode, { settle: 500 })
    const writing = world('commit', { Room: r.id, N: 40, Every: 25 })
    await world('expire')
    await r.supabase.auth.refreshSession() // as supabase-js does by itself shortly before
    await writing
    await r.numbers(1, 40)
    await realtimeLive(1)
  })
}
