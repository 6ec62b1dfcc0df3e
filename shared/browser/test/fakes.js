// As much of pusher-js as a connected one whose channels are let in when a test says so.
export function connectedPusher({ subscribed = true } = {}) {
  const channels = new Map()
  const pusher = {
    config: {}, connection: { state: 'connected', socket_id: '1.1', bind() {}, unbind() {} },
    signin() {}, connect() {}, disconnect() {}, channel: (name) => channels.get(name), unsubscribe: (name) => channels.delete(name),
    subscribe(name) {
      const globals = new Set()
      const channel = channels.get(name) ?? {
        subscribed, bind() {}, unbind() {}, disconnect() {},
        bind_global: (fn) => globals.add(fn), unbind_global: (fn) => globals.delete(fn),
        emit: (...args) => globals.forEach((fn) => fn(...args)),
      }
      channels.set(name, channel)
      return channel
    },
    admit(name) {
      channels.get(name).subscribed = true
      channels.get(name).emit('pusher:subscription_succeeded')
    },
  }
  return pusher
}
