// The world of the tests, which client_test.go runs: see world_test.go.
import assert from 'node:assert/strict'
import Pusher from 'pusher-js'
import { createClient } from '@supabase/supabase-js'
import { createRoomcast } from '../roomcast.js'

export const WORLD = process.env.WORLD
const [host, port] = process.env.PUSHER_HOST.split(':')
const open = new Set()
let names = 0

/** Makes something happen; resolves when it has. */
export async function world(what, order = {}) {
  const response = await fetch(`${WORLD}/world/${what}`, { method: 'POST', body: JSON.stringify(order) })
  assert.equal(response.status, 200, what)
  return response.json()
}

/** A name that no other test uses. */
export const fresh = (prefix) => `${prefix}-${process.pid}-${++names}`

/**
 * A page of a signed-in user, with the real pusher-js and supabase-js. `Library` is another
 * pusher-js, `settings` are more of its options, `auth` those of supabase-js, `create` another
 * supabase-js's createClient, `client` another copy of Roomcast's.
 */
export async function page({ user = fresh('user'), Library = Pusher, settings, auth, create = createClient, client = createRoomcast, ...options } = {}) {
  const supabase = create(WORLD, 'sb_publishable_test', { realtime: { transport: WebSocket }, auth: { autoRefreshToken: false, persistSession: false, ...auth } })
  const login = async (name) => {
    const { error } = await supabase.auth.setSession(await world('login', { user: name }))
    assert.equal(error, null)
  }
  await login(user)
  const pusher = new Library(process.env.PUSHER_KEY, { cluster: '', wsHost: host, wsPort: port, forceTLS: false, enabledTransports: ['ws'], disableStats: true, ...settings })
  const rooms = client({ pusher, supabase, url: WORLD, mode: 'pusher', settle: 600, ...options })
  const it = {
    user, login, pusher, supabase, rooms,
    close() {
      open.delete(it)
      rooms.close()
      pusher.disconnect()
      supabase.auth.stopAutoRefresh()
      if (supabase.realtime.isConnected()) supabase.realtime.disconnect()
    },
  }
  open.add(it)
  return it
}

/** A page that listens to a room of its own, which is live. */
export async function joined(options, joinOptions) {
  const p = await page(options)
  const id = fresh('room')
  const room = p.rooms.join(id, joinOptions), seen = watch(room)
  await live(room)
  return { ...p, id, room, ...seen, until: seen.until, numbers: seen.numbers.bind(seen) }
}

/** Waits until done() is true, and says what it waited for if that takes too long. */
export async function until(done, what, ms = 15000) {
  const deadline = Date.now() + ms
  while (!await done()) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${ms} ms`)
    await new Promise((tick) => setTimeout(tick, 10))
  }
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms))

/** Ends what a test left open, so that the process can end. */
export function closeAll() {
  open.forEach((it) => it.close())
}

/** Notes what a room shows: contents of messages, names of all else. */
export function watch(room) {
  const seen = []
  const waiting = new Set()
  room.on('*', (data, name) => {
    if (name === 'error' || name === 'live') return
    seen.push(name === 'new-message' ? data.content : name === 'reset' ? `reset ${data.reason}` : name === 'denied' ? name : `${name} ${data.id} ${data.content ?? ''}`.trim())
    waiting.forEach((check) => check())
  })
  return {
    seen,
    /** Waits until what was seen fits. */
    until: (fits, what, ms = 20000) => new Promise((resolve, reject) => {
      const done = () => { clearTimeout(timer); waiting.delete(check) }
      const check = () => { if (fits(seen)) { done(); resolve() } }
      const timer = setTimeout(() => { done(); reject(new Error(`${what}: saw ${seen.length}: ${seen.slice(-50)}`)) }, ms)
      waiting.add(check)
      check()
    }),
    /** Waits for messages `from` to `to`, and demands that nothing else was seen. */
    async numbers(from, to) {
      const want = Array.from({ length: to - from + 1 }, (_, i) => String(from + i))
      await this.until((s) => s.includes(String(to)), `message ${to}`).catch((err) => { assert.deepEqual(seen, want); throw err })
      assert.deepEqual(seen, want)
    },
  }
}

/** Waits for a room to be live; what happens is told as an event or by this. */
export function live(room, status = 'live') {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + 15000
    const look = () => {
      if (room.status === status) resolve()
      else if (Date.now() > deadline) reject(new Error(`status ${room.status}, want ${status}`))
      else setTimeout(look, 5)
    }
    look()
  })
}

/** Waits until so many channels of Realtime are live, and no more. */
export async function realtimeLive(n) {
  for (let i = 0; i < 500; i++) {
    if ((await world('realtime')).Live === n) return
    await new Promise((done) => setTimeout(done, 20))
  }
  throw new Error(`${(await world('realtime')).Live} channels of Realtime are live, want ${n}`)
}
