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
        get global_callbacks() { return [...globals] },
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

/**
 * A clock of the test's own in place of setTimeout and Date.now. (Node 20's mock timers
 * run some late when others were cleared.) pass(ms) lets the time go by, timer by timer,
 * with whatever promises settle in between.
 */
export function fakeClock(t, now = 1_800_000_000_000) {
  const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, now: Date.now }
  const waiting = new Map()
  let ids = 0
  globalThis.setTimeout = (fn, ms = 0) => (waiting.set(++ids, { at: now + (ms < 2 ** 31 ? Math.max(0, ms) : 1), fn }), ids) // as engines do
  globalThis.clearTimeout = (id) => void waiting.delete(id)
  Date.now = () => now
  t.after(() => {
    Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout })
    Date.now = real.now
  })
  const settle = async () => { for (let i = 0; i < 20; i++) await new Promise(setImmediate) }
  return async function pass(ms) {
    const end = now + ms
    for (;;) {
      await settle()
      const next = [...waiting].sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0]
      if (!next || next[1].at > end) break
      waiting.delete(next[0])
      now = Math.max(now, next[1].at)
      next[1].fn()
    }
    now = end
  }
}
