// One page that listens to a room, with the real pusher-js and the function's client; it
// says what it shows, and is told what its own user has written.
function openPage({ Pusher, createRoomcast, key, sockets, room, url, token, page, say }) {
  const [wsHost, wsPort] = sockets.split(':')
  const pusher = new Pusher(key, { cluster: '', wsHost, wsPort, forceTLS: false, enabledTransports: ['ws'], disableStats: true,
    activityTimeout: 30000, pongTimeout: 10000 }) // as the guide has them
  const rooms = createRoomcast({ pusher, url, token: () => token, mode: 'pusher' })
  const it = rooms.join(room)
  it.on('*', (data, name) => {
    if (name === 'live') say({ page, live: true })
    else say({ page, name, id: data?.id, seq: data?.roomcast?.seq, reason: data?.reason })
  })
  rooms.on('status', ({ status }) => say({ page, status }))
  return { expect: (id) => it.expect(id), close: () => { rooms.close(); pusher.disconnect() } }
}
