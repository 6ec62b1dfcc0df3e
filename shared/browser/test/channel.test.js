// The grammar of channel names: the cases of shared/event.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { channelName } from '../roomcast.js'

const cases = JSON.parse(readFileSync(new URL('../../../testdata/channels.json', import.meta.url)))

test('names', () => {
  for (const { kind, room, channel } of cases.names) assert.equal(channelName(kind, room), channel)
})

test('refusals', () => {
  for (const { kind, room } of cases.refused) assert.throws(() => channelName(kind, room), RangeError, `${kind} ${room}`)
})
