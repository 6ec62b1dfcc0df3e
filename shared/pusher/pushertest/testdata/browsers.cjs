// The real pusher-js, driven by conformance tests: one JSON command a line on stdin, one
// JSON object a line on stdout for everything a page would see. NODE_MODULES says where the
// packages are.
const readline = require('node:readline')
const { createRequire } = require('node:module')

// pusher-js's Node build has encryption in it; 'pusher-js/with-encryption' is for browsers.
const Pusher = createRequire(process.env.NODE_MODULES + '/')('pusher-js')

const browsers = new Map()
const say = (message) => process.stdout.write(JSON.stringify(message) + '\n')

const commands = {
  connect({ browser, key, host, port, auth }) {
    const pusher = new Pusher(key, {
      cluster: 'none', // required even with wsHost
      wsHost: host,
      wsPort: port,
      forceTLS: false,
      enabledTransports: ['ws'],
      channelAuthorization: { endpoint: `${auth}/auth?as=${browser}`, transport: 'ajax' },
      userAuthentication: { endpoint: `${auth}/user-auth?as=${browser}`, transport: 'ajax' },
    })
    browsers.set(browser, pusher)
    pusher.connection.bind('state_change', ({ current }) =>
      say({ browser, kind: 'state', event: current, socket_id: pusher.connection.socket_id }))
    pusher.connection.bind('error', (error) =>
      say({ browser, kind: 'error', event: String(error.error?.data?.code ?? error.data?.code), data: error }))
    pusher.user.bind_global((event, data) => say({ browser, kind: 'user', event, data }))
    pusher.connection.bind('message', ({ event }) => {
      if (event === 'pusher:signin_success' || event === 'pusher:pong') say({ browser, kind: 'message', event })
    })
  },

  subscribe({ browser, channel }) {
    const subscription = browsers.get(browser).subscribe(channel)
    // Who sent a client event is told only to those who bind to it by name.
    subscription.bind('client-typing', (data, metadata) =>
      say({ browser, kind: 'client', channel, event: 'client-typing', data, user_id: metadata?.user_id }))
    subscription.bind_global((event, data) => {
      if (event === 'client-typing') return
      // A presence channel hands over its Members, with methods; a test wants what is in it.
      if (data?.members) data = { ids: Object.keys(data.members).sort(), count: data.count, me: data.myID }
      say({ browser, kind: 'channel', channel, event, data })
    })
  },

  unsubscribe: ({ browser, channel }) => browsers.get(browser).unsubscribe(channel),
  trigger: ({ browser, channel, event, data }) => browsers.get(browser).channel(channel).trigger(event, data),
  signin: ({ browser }) => browsers.get(browser).signin(),
  ping: ({ browser }) => browsers.get(browser).connection.connection.ping(),
  disconnect: ({ browser }) => browsers.get(browser).disconnect(),

  // Closes the page: nothing is seen of it any more.
  close({ browser }) {
    const pusher = browsers.get(browser)
    pusher.connection.unbind()
    pusher.user.unbind_global()
    pusher.unbind_all()
    for (const channel of pusher.allChannels()) channel.unbind_all()
    pusher.disconnect()
    say({ browser, kind: 'closed' })
  },
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line)
  commands[command.op](command)
}).on('close', () => process.exit(0))
