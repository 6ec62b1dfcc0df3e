// A bot in a packed room, with the real pusher-js. It says live, and then, when the
// messages have come, what came and how.
import { createRequire } from 'node:module'
import { createRoomcast } from '../../../shared/browser/roomcast.js'

const { MODULES, PUSHER_HOST, PUSHER_KEY, ROOMCAST_URL, MEMBER_JWT, DEMO_ROOM, MESSAGES } = process.env
const Pusher = createRequire(MODULES + '/')('pusher-js')
const [wsHost, wsPort] = PUSHER_HOST.split(':')
const pusher = new Pusher(PUSHER_KEY, { cluster: 'local', wsHost, wsPort: Number(wsPort), forceTLS: false, enabledTransports: ['ws'] })
const contents = []
let packs = 0, singles = 0
pusher.bind_global((name) => {
  if (name === 'packed') packs++
  if (name === 'new-message') singles++
})
const room = createRoomcast({ pusher, url: ROOMCAST_URL, token: () => MEMBER_JWT }).join(DEMO_ROOM, { channel: 'packed' })
room.on('live', () => console.log('live'))
room.on('denied', () => process.exit(1))
room.on('new-message', ({ content }) => {
  contents.push(content)
  if (contents.length < Number(MESSAGES)) return
  console.log(JSON.stringify({ contents, packs, singles }))
  process.exit()
})
