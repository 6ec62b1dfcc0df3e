// Pages with the real pusher-js, for tests: one JSON command a line on stdin, one JSON
// object a line on stdout for what a page learns. NODE_MODULES says where the packages
// are. A page signs in and, when it is cut off, connects again by itself, as
// roomcast.js does; pusher-js alone would stay away.
const readline = require('node:readline')
const { createRequire } = require('node:module')

const Pusher = createRequire(process.env.NODE_MODULES + '/')('pusher-js')
const say = (message) => process.stdout.write(JSON.stringify(message) + '\n')

function open({ page, key, host, port, base, token, channels }) {
  const headers = { Authorization: `Bearer ${token}` }
  const pusher = new Pusher(key, {
    cluster: 'none', // required even with wsHost
    wsHost: host,
    wsPort: port,
    forceTLS: false,
    enabledTransports: ['ws'],
    channelAuthorization: { endpoint: `${base}/pusher/auth`, transport: 'ajax', headers },
    userAuthentication: { endpoint: `${base}/pusher/user-auth`, transport: 'ajax', headers },
  })
  pusher.connection.bind('state_change', ({ current }) => {
    say({ page, event: current })
    if (current === 'disconnected') pusher.connect()
  })
  pusher.connection.bind('message', ({ event }) => {
    if (event === 'pusher:signin_success') say({ page, event })
  })
  pusher.signin()
  for (const channel of channels) {
    pusher.subscribe(channel).bind_global((event, data) => {
      say({ page, channel, event, content: data?.content, user: data?.user_id, status: data?.status })
    })
  }
}

readline.createInterface({ input: process.stdin })
  .on('line', (line) => open(JSON.parse(line)))
  .on('close', () => process.exit(0))
