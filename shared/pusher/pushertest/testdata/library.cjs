// The real npm package pusher (the server library), driven by conformance tests: one JSON
// request a line on stdin, one answer a line on stdout. The app is in PUSHER, the place of
// the packages in NODE_MODULES.
const readline = require('node:readline')
const { createRequire } = require('node:module')

const Pusher = createRequire(process.env.NODE_MODULES + '/')('pusher')
const pusher = new Pusher(JSON.parse(process.env.PUSHER))

const calls = {
  trigger: async ({ channels, event, data, socket_id }) =>
    void (await pusher.trigger(channels, event, data, socket_id ? { socket_id } : undefined)),
  batch: async ({ events }) => void (await pusher.triggerBatch(events)),
  get: async ({ path, params }) => (await pusher.get({ path, params })).json(),
  authorize: ({ socket_id, channel, member }) => pusher.authorizeChannel(socket_id, channel, member),
  user: ({ socket_id, user }) => pusher.authenticateUser(socket_id, user),
  sendToUser: async ({ user, event, data }) => void (await pusher.sendToUser(user, event, data)),
  terminate: async ({ user }) => void (await pusher.terminateUserConnections(user)),
  webhook({ headers, body }) {
    const webhook = pusher.webhook({ headers, rawBody: body })
    if (!webhook.isValid()) throw new Error('webhook is not valid')
    return webhook.getEvents()
  },
}

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, op, ...args } = JSON.parse(line)
  let answer
  try {
    answer = { id, result: (await calls[op](args)) ?? null }
  } catch (error) {
    answer = { id, error: String(error.message), status: error.status ?? 0 }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}).on('close', () => process.exit(0))
