// From browser to browser: client events, and who is there.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { closeAll, fresh, live, page, pause, until, watch, world } from './world.js'

afterEach(closeAll)

for (const join of [undefined, { channel: 'presence' }, { presence: true }]) {
  test(`typing, joined with ${JSON.stringify(join)}`, async () => {
    const id = fresh(join?.channel === 'presence' ? 'presence' : 'room'), ada = await page(), bob = await page()
    const mine = ada.rooms.join(id, join), theirs = bob.rooms.join(id, join)
    const heard = [], seen = watch(theirs)
    theirs.on('client-typing', (data, name, from) => heard.push([data.who, name, from?.user_id]))
    await Promise.all([live(mine), live(theirs)])
    await until(() => mine.send('typing', { who: 'ada' }), 'sent') // the presence channel comes a moment later
    await until(() => heard.length, 'heard')
    assert.deepEqual(heard[0], ['ada', 'client-typing', join ? ada.user : undefined])
    await world('commit', { Room: id, N: 1 })
    await seen.numbers(1, 1) // and nothing of the signal
  })
}

test('who is there: members come and go', async () => {
  const id = fresh('room'), ada = await page(), bob = await page()
  const room = ada.rooms.join(id, { presence: true }), told = []
  room.on('members', (members) => told.push(members.map((m) => m.id).sort()))
  await until(() => room.members.length === 1, 'herself')
  const other = bob.rooms.join(id, { presence: true })
  await until(() => room.members.length === 2, 'both')
  assert.deepEqual(told.at(-1), [ada.user, bob.user].sort())
  other.leave()
  await until(() => room.members.length === 1, 'he left')
  room.leave()
  assert.deepEqual(room.members, [])
})

test('presence beside private brings no event twice', async () => {
  const id = fresh('room'), p = await page({ settle: 0 }), room = p.rooms.join(id, { presence: true }), seen = watch(room)
  await live(room)
  await until(() => room.members.length, 'present')
  await world('commit', { Room: id, N: 3 })
  await world('raw', { Room: id, Kind: 'presence', Name: 'new-message', Data: { id: 'm1', content: '1', roomcast: { seq: 1, epoch: 'e1' } } })
  await pause(300)
  assert.deepEqual(seen.seen, ['1', '2', '3'])
})

test('joined by a presence channel that carries no events, the room is heard by the one that does', async () => {
  const id = fresh('room'), ada = await page({ settle: 0 }), bob = await page()
  const room = ada.rooms.join(id, { channel: 'presence' }), other = bob.rooms.join(id, { presence: true }), seen = watch(room)
  await Promise.all([live(room), live(other)])
  await until(() => room.members.length === 2, 'both are there')
  await world('commit', { Room: id, N: 3 })
  await seen.numbers(1, 3)
  const heard = []
  room.on('client-typing', (data, name, from) => heard.push(from?.user_id))
  assert.ok(other.send('typing'))
  await until(() => heard.length, 'typing')
  assert.deepEqual(heard, [bob.user])
  await world('cut')
  await world('commit', { Room: id, N: 2 })
  await seen.numbers(1, 5)
  await until(() => room.members.length === 2, 'both are back')
  room.leave()
  assert.deepEqual(Object.keys(ada.pusher.channels.channels), [])
})

test('ten a second at most, and none while offline', async () => {
  const id = fresh('room'), p = await page(), room = p.rooms.join(id)
  assert.equal(room.send('typing'), false)
  await live(room)
  const sent = Array.from({ length: 30 }, () => room.send('typing')).filter(Boolean).length
  assert.equal(sent, 10)
  p.pusher.disconnect()
  await pause(1100)
  assert.equal(room.send('typing'), false)
})
