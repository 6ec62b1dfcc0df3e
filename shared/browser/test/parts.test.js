// Supabase's side of the client (src/move.ts) is a module of its own, which a page loads
// where it may need it. Without it a page goes by Pusher: it is never silent.
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { closeAll, joined, realtimeLive, until, world } from './world.js'

const built = fileURLToPath(new URL('..', import.meta.url))
const copies = []

afterEach(closeAll)
after(() => copies.forEach((dir) => rmSync(dir, { recursive: true })))

/** A copy of the first module, without its parts. */
async function copy() {
  const dir = mkdtempSync(join(tmpdir(), 'roomcast-parts'))
  copies.push(dir)
  writeFileSync(join(dir, 'package.json'), '{"type":"module"}')
  cpSync(join(built, 'roomcast.js'), join(dir, 'roomcast.js'))
  const { createRoomcast: client } = await import(pathToFileURL(join(dir, 'roomcast.js')))
  return { dir, client }
}

test('a page that went by Pusher alone changes over, and shows each message once', async () => {
  const r = await joined({ settle: 300 })
  const writing = world('commit', { Room: r.id, N: 120, Every: 20 })
  await r.until((s) => s.includes('10'), 'the first ones')
  r.rooms.setMode('both')
  await until(() => r.room.mode === 'both', 'both')
  await realtimeLive(1)
  r.rooms.setMode('supabase')
  await writing
  await r.numbers(1, 120)
})

for (const mode of ['both', 'supabase']) {
  test(`${mode}: a page that cannot load it goes by Pusher, and changes over as soon as it can`, async () => {
    await realtimeLive(0)
    const { dir, client } = await copy()
    const r = await joined({ client, mode, settle: 300 })
    assert.equal(r.room.mode, 'pusher')
    assert.equal(r.rooms.status, 'live')
    await world('commit', { Room: r.id, N: 3 })
    await r.numbers(1, 3)
    cpSync(join(built, 'parts'), join(dir, 'parts'), { recursive: true })
    await until(() => r.room.mode === mode, 'loaded')
    await realtimeLive(1)
    await world('commit', { Room: r.id, N: 3, Every: 20, Only: 'supabase' })
    await r.numbers(1, 6)
  })
}

test('a page without need of it does not load it', async () => {
  const { dir, client } = await copy()
  mkdirSync(join(dir, 'parts'))
  for (const name of readdirSync(join(built, 'parts'))) writeFileSync(join(dir, 'parts', name), 'globalThis.loaded = true')
  await world('plan', { Plan: { mode: 'pusher' } })
  const r = await joined({ client, mode: undefined, settle: 0 })
  await world('commit', { Room: r.id, N: 2 })
  await r.numbers(1, 2)
  assert.equal(globalThis.loaded, undefined)
  r.rooms.setMode('both') // and this test would notice
  await until(() => globalThis.loaded, 'loaded')
})
