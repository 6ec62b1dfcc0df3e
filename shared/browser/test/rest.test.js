// What a page asks that has nothing to do, and a bot's clock of one hour: the times are
// mocked, the function is a stand-in that answers at once.
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { createRoomcast } from '../roomcast.js'
import { connectedPusher } from './fakes.js'

async function pass(ms) {
  for (let at = 0; at < ms; at += 1000) {
    for (let i = 0; i < 8; i++) await new Promise(setImmediate)
    mock.timers.tick(1000)
  }
  for (let i = 0; i < 8; i++) await new Promise(setImmediate)
}

const HOUR = 3_600_000

for (const [what, isHidden, most] of [['in front', false, 12], ['hidden', true, 0]]) {
  test(`a page at rest for an hour, ${what}: at most ${most} requests after the first minute`, async (t) => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_800_000_000_000 })
    t.after(() => mock.timers.reset())
    t.after(() => { delete globalThis.document })
    const asked = []
    t.mock.method(globalThis, 'fetch', async (address, init) => {
      asked.push(new URL(address).pathname)
      const ids = init?.body ? Object.keys(JSON.parse(init.body).rooms) : ['r0']
      const page = (room) => ({ room, epoch: 'e', head: 5, last: 5, events: [], more: false, reset: false })
      return Response.json(init?.body ? { rooms: Object.fromEntries(ids.map((id) => [id, page(id)])) } : page(new URL(address).pathname.split('/')[2]))
    })
    const pusher = connectedPusher()
    const rooms = createRoomcast({ pusher, url: 'http://f', token: () => 'x', mode: 'pusher' })
    t.after(() => rooms.close())
    const joined = Array.from({ length: 10 }, (_, i) => rooms.join('r' + i))
    await pass(5000)
    assert.deepEqual(joined.map((room) => room.status), joined.map(() => 'live'))
    pusher.channel('private-room-r3').emit('new-message', { id: 1, roomcast: { seq: 6, epoch: 'e', at: '2026-11-22T20:27:53.1+00:00' } })
    if (isHidden) globalThis.document = { hidden: true }
    asked.length = 0
    await pass(HOUR)
    t.diagnostic(`${asked.length} requests`)
    assert.ok(asked.length <= most, `${asked.length}: ${asked}`)
    assert.ok(isHidden || asked.length > 5, 'it looks now and then')
  })
}
