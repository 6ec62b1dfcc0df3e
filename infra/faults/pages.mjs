// Pages that listen to a room each, with the real pusher-js and the function's client, all
// in one process. What they show goes to standard output, a JSON value a line; what is
// written to the room by a page's user comes in by standard input, as {page, id}.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const { browser, key, sockets, room, pages } = JSON.parse(process.env.PAGES)
const Pusher = createRequire(browser + '/package.json')('pusher-js')
const { createRoomcast } = await import(pathToFileURL(browser + '/roomcast.js').href)
const [wsHost, wsPort] = sockets.split(':')
const say = (value) => process.stdout.write(JSON.stringify(value) + '\n')

const joined = pages.map(({ url, token }, page) => {
  const pusher = new Pusher(key, { cluster: '', wsHost, wsPort, forceTLS: false, enabledTransports: ['ws'], disableStats: true,
    activityTimeout: 30000, pongTimeout: 10000 }) // as the guide has them
  const rooms = createRoomcast({ pusher, url, token: () => token, mode: 'pusher' })
  const it = rooms.join(room)
  it.on('*', (data, name) => {
    if (name === 'live') say({ page, live: true })
    else say({ page, name, id: data?.id, seq: data?.roomcast?.seq, reason: data?.reason })
  })
  rooms.on('status', ({ status }) => say({ page, status }))
  return { it, rooms, pusher }
})

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { page, id } = JSON.parse(line)
    joined[page].it.expect(id)
  })
  .on('close', () => {
    joined.forEach(({ rooms, pusher }) => { rooms.close(); pusher.disconnect() })
    process.exit()
  })
