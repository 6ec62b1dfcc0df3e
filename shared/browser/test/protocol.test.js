// The cases of testdata/protocol, which any client must come through.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { createRoomcast } from '../roomcast.js'
import { connectedPusher } from './fakes.js'

const directory = new URL('../../../testdata/protocol/', import.meta.url)
const pause = (ms) => new Promise((done) => setTimeout(done, ms))

/** The function: requests wait for the step that answers them. */
function createFunction(t) {
  const waiting = []
  t.mock.method(globalThis, 'fetch', (address, init) => new Promise((done) => {
    const url = new URL(address), many = url.pathname === '/events'
    const query = many ? JSON.parse(init.body).rooms.lobby : Object.fromEntries(url.searchParams)
    const answer = (status, body) => done(many && status !== 200 ? Response.json({ rooms: { lobby: { status } } })
      : Response.json(many ? { rooms: { lobby: body } } : body, { status }))
    waiting.push({ limit: Number(query.limit), after: Number(query.after), epoch: query.epoch, answer })
  }))
  return async (asked) => {
    for (let i = 0; i < 500 && !waiting.length; i++) await pause(10)
    assert.ok(waiting.length, `asked for ${JSON.stringify(asked)}`)
    const { answer, ...query } = waiting.shift()
    assert.deepEqual(Object.fromEntries(Object.keys(asked).map((key) => [key, query[key]])), asked)
    return answer
  }
}

for (const file of readdirSync(directory).filter((name) => name.endsWith('.json'))) {
  const { about, user, room: id, after, steps } = JSON.parse(readFileSync(new URL(file, directory)))
  test(`${file}: ${about}`, async (t) => {
    const asked = createFunction(t), pusher = connectedPusher({ subscribed: false })
    const token = `.${btoa(JSON.stringify({ sub: user }))}.`
    const rooms = createRoomcast({ pusher, url: 'http://f', token: () => token, mode: 'pusher', settle: 0 })
    t.after(() => rooms.close())
    const shown = [], room = rooms.join(id, after ? { after } : {})
    room.on('*', (data, name) => {
      if (name !== 'live' && name !== 'error') shown.push([name, data?.reason ?? data?.id].filter(Boolean).join(' '))
    })
    await pause(5)
    const channel = pusher.channel('private-room-lobby')
    for (const step of steps) {
      if (step.subscribed) pusher.admit(step.subscribed)
      if (step.pushed) channel.emit(step.pushed.event, step.pushed.data)
      if (step.asked) (await asked(step.asked))(step.status, step.answer)
      if (!step.shown) continue
      await pause(50)
      assert.deepEqual(shown.splice(0), step.shown)
    }
  })
}
