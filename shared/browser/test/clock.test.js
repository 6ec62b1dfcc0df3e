// The page's clock is two hours ahead: supabase-js takes every token for expired. Roomcast
// adds no refresh to those that supabase-js makes by itself.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { createClient } from '@supabase/supabase-js'
import { closeAll, fresh, page, pause, watch, world, WORLD } from './world.js'

afterEach(closeAll)

const RealDate = Date
globalThis.Date = class extends RealDate {
  constructor(...args) { super(...args.length ? args : [RealDate.now() + 7_200_000]) }
  static now() { return RealDate.now() + 7_200_000 }
}

test('no more refreshes than supabase-js makes by itself, but for those of a listener, in any mode', async (t) => {
  const refreshed = {}, asked = { pusher: 0 }
  const real = globalThis.fetch
  t.mock.method(globalThis, 'fetch', (address, init) => {
    const { pathname } = new URL(address)
    if (pathname.startsWith('/auth/v1/token')) {
      const user = JSON.parse(init.body).refresh_token
      refreshed[user] = (refreshed[user] ?? 0) + 1
    } else if (!/^\/(world|auth)/.test(pathname)) asked.pusher++
    return real(address, init)
  })
  const auth = { autoRefreshToken: true, persistSession: false }
  const alone = createClient(WORLD, 'sb_publishable_test', { auth })
  await alone.auth.setSession(await world('login', { User: 'alone' }))
  for (let i = 0; i < 3; i++) alone.channel('c' + i).on('postgres_changes', { event: '*', schema: 'public', table: 'messages' }, () => {}).subscribe()
  const pages = {}
  for (const mode of ['pusher', 'both', 'supabase']) {
    const user = fresh('user')
    const p = pages[user] = { mode, seen: [], ...await page({ user, mode, settle: 20000, auth }) }
    p.ids = Array.from({ length: 3 }, () => fresh('room'))
    p.seen = p.ids.map((id) => watch(p.rooms.join(id)))
  }
  await pause(10_000)
  for (const { ids } of Object.values(pages)) for (const Room of ids) await world('commit', { Room, N: 2 })
  await pause(35_000)
  await alone.auth.stopAutoRefresh()
  alone.realtime.disconnect()
  for (const [user, { mode, seen }] of Object.entries(pages)) {
    t.diagnostic(`${mode}: ${refreshed[user]} refreshes, alone ${refreshed.alone}`)
    assert.ok(refreshed[user] <= refreshed.alone + 3, `${mode}: ${refreshed[user]} refreshes, alone ${refreshed.alone}`)
    for (const s of seen) await s.numbers(1, 2)
  }
  assert.ok(asked.pusher <= 3 * 20, `${asked.pusher} requests of three pages`)
})
