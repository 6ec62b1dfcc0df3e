// What a page costs that cannot be helped: its tokens are refused, the function is away or
// answers rubbish. Ten rooms, real pusher-js and supabase-js, one minute.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { closeAll, fresh, page, pause, until, watch, world, WORLD } from './world.js'

afterEach(closeAll)

const MINUTE = 60_000

/** Counts this process's requests to the function and to Auth, by user; those without a token under ''. */
function tap(t) {
  const asked = {}, refreshed = {}
  const real = globalThis.fetch
  t.mock.method(globalThis, 'fetch', (address, init) => {
    const { pathname } = new URL(address)
    const bearer = new Headers(init?.headers).get('Authorization')?.split('.')[1]
    const user = bearer ? JSON.parse(atob(bearer.replace(/-/g, '+').replace(/_/g, '/'))).sub : ''
    if (pathname.startsWith('/auth/v1/token')) refreshed[JSON.parse(init.body).refresh_token] = (refreshed[JSON.parse(init.body).refresh_token] ?? 0) + 1
    else if (!pathname.startsWith('/world') && !pathname.startsWith('/auth')) (asked[user] ??= []).push(pathname)
    return real(address, init)
  })
  return { asked, refreshed }
}

test('one minute of a page that is refused, left alone or lied to', async (t) => {
  const { asked, refreshed } = tap(t)
  const cases = []
  for (const [mood, options] of [['refuse', {}], ['down', {}], ['rubbish', {}], ['refuse', { mode: 'supabase' }], ['down', { mode: 'supabase' }], ['down', { mode: 'both' }]]) {
    const user = fresh('user')
    await world('mood', { User: user, Mood: mood })
    const p = await page({ user, settle: 20000, auth: { autoRefreshToken: true }, ...options })
    const errors = []
    for (let i = 0; i < 10; i++) p.rooms.join(fresh('room')).on('error', (err) => errors.push(err.message))
    cases.push({ what: `${mood} ${options.mode ?? 'pusher'}`, user, options, errors, p })
  }
  await pause(MINUTE)
  for (const { what, user, options, errors } of cases) {
    const requests = asked[user] ?? [], refreshes = refreshed[user] ?? 0
    t.diagnostic(`${what}: ${requests.length} requests, ${refreshes} refreshes`)
    assert.ok(requests.length <= 20, `${what}: ${requests.length} requests: ${requests}`)
    assert.ok(refreshes <= 2, `${what}: ${refreshes} refreshes`)
    assert.ok(errors.length > 0, `${what}: the app is not told`)
    if (options.mode === 'supabase') assert.ok(requests.length <= 2 && !refreshes, `${what}: ${requests.length} requests, ${refreshes} refreshes`)
  }
  // And they come back.
  for (const { user } of cases) await world('mood', { User: user, Mood: '' })
  for (const { p } of cases) p.rooms.wake()
  const { p } = cases[1], id = fresh('room'), room = p.rooms.join(id), seen = watch(room)
  await until(() => room.status === 'live', 'live')
  await world('commit', { Room: id, N: 1 })
  await seen.numbers(1, 1)
})
