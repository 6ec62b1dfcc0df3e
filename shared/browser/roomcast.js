// @ts-check
// roomcast.d.ts tells how to use it.
//
// Pusher's events carry a number. A room shows number `next` and nothing else: lower
// ones are repeats, higher ones are held while a fetch fills the gap. Supabase's carry
// none: they are shown at once while its stream is in step with the numbers.

const OPS = { INSERT: 'new-message', UPDATE: 'message-updated', DELETE: 'message-deleted' }
const OURS = /^(new-message|message-|user-)/ // not client-: those are anybody's
const PREFIX = { private: 'private-room-', presence: 'presence-room-', encrypted: 'private-encrypted-room-', public: 'room-', packed: 'private-packed-room-' }
const GAP = 120 // ms until a gap is fetched
const PATIENCE = 2000 // ms a Supabase event waits for its place
const LONGEST = 30000 // ms between two tries
const MINUTE = 60000

const spread = (ms) => ms * (0.5 + Math.random())
const backoff = (tries) => spread(Math.min(LONGEST, 500 * 2 ** tries))
const hidden = () => globalThis.document?.hidden

/** @type {import('./roomcast.d.ts').channelName} */
export function channelName(kind, room) {
  const name = PREFIX[kind] + room.replace(/[^\w\-@,.;]/gu, (c) =>
    [...new TextEncoder().encode(c)].map((b) => '=' + (b + 256).toString(16).slice(1).toUpperCase()).join(''))
  if (!PREFIX[kind] || !room || name.length > 164) throw RangeError('roomcast: no channel')
  return name
}

function userOf(jwt) {
  try {
    return JSON.parse(atob(jwt.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'))).sub
  } catch {
    return null
  }
}

// In what both have; times are written differently.
function same(a, b) {
  const text = (v) => /^\d{4}-\d\d-\d\d[ T]/.test(v) ? +new Date(v) : JSON.stringify(v)
  return Object.keys(a).every((k) => !(k in b) || text(a[k]) === text(b[k]))
}

/** @type {import('./roomcast.d.ts').createRoomcast} */
export function createRoomcast(options) {
  const { pusher, supabase, url } = options
  const { config, connection } = pusher
  const { channelAuthorizer, userAuthenticator } = config
  const rooms = new Set(), users = {} // users: how many have a channel open
  let forced = options.mode, plan = { mode: supabase ? 'both' : 'pusher' }
  let planned = Promise.resolve(), plannedAt = 0, user

  async function token(renew) {
    const jwt = options.token ? await options.token(renew)
      : (await supabase.auth[renew ? 'refreshSession' : 'getSession']()).data.session?.access_token
    user ??= userOf(jwt)
    return jwt
  }

  // Asks the function, with a fresh token if the first is refused.
  async function call(path, init, renew) {
    const headers = { Authorization: 'Bearer ' + await token(renew) }
    const response = await fetch(url + path, { ...init, headers, signal: AbortSignal.timeout(10000) })
    const { ok, status } = response
    if (status === 401 && !renew) return call(path, init, true)
    if (!ok) throw Object.assign(new Error('roomcast: status ' + status), { status })
    return response.json()
  }

  // A token that pusher-js was made with would be old at a reconnect.
  const authorizer = (path, others) => (asked, done) => {
    const { socketId: socket_id, channelName: channel_name } = asked
    if (others && !users[channel_name]) return others(asked, done)
    const body = new URLSearchParams({ socket_id, ...others && { channel_name } })
    call(path, { method: 'POST', body }).then((data) => done(null, data), (err) => done(err, null))
  }
  config.channelAuthorizer = authorizer('/pusher/auth', channelAuthorizer)
  config.userAuthenticator = authorizer('/pusher/user-auth')
  pusher.signin() // lets the server end this connection with the membership

  function modeOf(room) {
    let x = parseInt(user?.slice(0, 8), 16) / 2 ** 32 // a uuid begins at random
    return forced ?? plan.rooms?.[room] ?? ['pusher', 'both', 'supabase'].find((m) => (x -= plan.share?.[m] ?? 0) < 0) ?? plan.mode
  }

  const useAll = () => rooms.forEach((r) => r.use())

  function replan() {
    if (forced || Date.now() - plannedAt < MINUTE) return planned
    plannedAt = Date.now()
    return planned = fetch(url + '/roomcast.json', { signal: AbortSignal.timeout(PATIENCE) })
      .then((r) => r.json()).then((p) => { if (p.mode) plan = p })
      .then(() => token()).catch(() => {}).then(useAll) // else the old plan holds
  }

  const wake = () => {
    if (hidden()) return
    replan()
    rooms.forEach((r) => r.check())
  }

  // pusher-js stays away when the server ends a connection, or after two rough cuts.
  const revive = () => setTimeout(() => connection.switchCluster(pusher.key), backoff(1))
  const failed = (e) => { if ((e.error ?? e).data?.code === 4009) revive() }

  const listen = (how, bind) => {
    for (const name of ['online', 'pageshow', 'visibilitychange']) globalThis[how + 'EventListener']?.(name, wake)
    connection[bind]('connected', replan)
    connection[bind]('error', failed)
    connection[bind]('failed', revive)
  }
  listen('add', 'bind')

  // The next user hears nothing of the last one's. (supabase-js is locked while it tells.)
  const auth = !options.token && supabase.auth.onAuthStateChange((_, session) => setTimeout(() => {
    const now = userOf(session?.access_token), other = user !== undefined && user !== now
    user = now
    if (other) pusher.disconnect(), pusher.connect()
    rooms.forEach((r) => other ? r.restart() : r.check())
  }))

  const signedOut = () => auth && user === null
  return {
    join(id, { after, channel } = {}) {
      const room = createRoom({ options, rooms, users, call, modeOf, signedOut }, String(id), after, channel)
      rooms.add(room)
      replan().then(room.use)
      return room.handle
    },
    setMode(mode) {
      forced = mode
      plannedAt = 0
      replan()
      useAll()
    },
    close() {
      forced = 'pusher'
      rooms.forEach((r) => r.handle.leave())
      if (auth) auth.data.subscription.unsubscribe()
      listen('remove', 'unbind')
      Object.assign(config, { channelAuthorizer, userAuthenticator })
    },
  }
}

function createRoom({ options, rooms, users, call, modeOf, signedOut }, id, after, kind) {
  const { pusher, supabase, schema = 'public', table = 'messages', roomColumn = 'room_id', key = (row) => row.id, settle = 20000, onSeen } = options
  const channel = channelName(kind ?? options.channel ?? 'private', id)
  after = after?.roomcast ?? after
  const held = new Map(), handlers = new Set(), timers = {}, seen = []
  const pending = [] // Supabase's events that have no place yet
  let epoch = after?.epoch, next = after === undefined ? after : (after.seq ?? after) + 1
  let mode, fromPusher, fromSupabase, left, fetching, again, failures = 0, refusals = 0
  let stream = 0, unfetched = 0, synced, solo // of Supabase

  function cancel(purpose) {
    timers[purpose] = clearTimeout(timers[purpose])
  }
  function later(purpose, ms, fn) {
    if (!left) timers[purpose] ??= setTimeout(() => { cancel(purpose); fn() }, ms)
  }

  function emit(name, data) {
    for (const h of [...handlers]) {
      try {
        if (!left && [name, '*'].includes(h.name)) h.fn(data, name)
      } catch (err) { // the app's own
        (globalThis.reportError ?? console.error)(err)
      }
    }
  }

  function show(e) {
    if (e.seq && e.stream) synced = e.stream
    if (!e.shown) emit(e.name, e.data)
    e.shown = true
  }

  const placeOf = (at) => at.epoch + '/' + at.seq

  // An event from Pusher, or fetched.
  function take(name, data, fetched) {
    const at = data.roomcast
    solo = false
    if (!at) return show(pair('pusher', name, data)) // forward-only mode has no numbers
    if (next) epoch ||= at.epoch
    const old = held.get(placeOf(at))
    if (!fetched && (old || at.epoch === epoch && at.seq < next)) return saw('pusher', { ...at, name }, 'again')
    const e = old ?? pair('pusher', name, data)
    if (!at.stub) Object.assign(e, { name, data })
    e.seq = at.seq
    held.set(placeOf(at), e)
    saw('pusher', e, fetched && 'fetched')
  }

  // Shows what is next, up to a gap or a stub; up to `last`, a missing number is void.
  function advance(last = 0) {
    for (; next; next++) {
      const place = placeOf({ epoch, seq: next }), e = held.get(place)
      if (e ? !e.shown && e.data.roomcast.stub : next > last) return
      held.delete(place)
      if (e) show(e)
    }
  }

  function hear(name, data) {
    take(name, data)
    advance()
    cancel('gap')
    if (held.size) later('gap', spread(GAP), catchUp) // it may only be early
    flush()
    rest()
  }

  function catchUp(ms = 0) {
    if (fetching) again = true
    else later('fetch', spread(ms) + (failures && backoff(failures)), run)
  }

  async function run() {
    if (left || fetching || signedOut()) return
    cancel('fetch')
    fetching = true
    try {
      do again = false; while (await page() || again && !left)
      again = held.size
      failures = again && failures + 1
    } catch (err) {
      failures++
      again = ![400, 403, 404].includes(err.status) // those stay as they are
      emit('error', err)
    }
    fetching = false
    unfetched = 0
    if (again) catchUp()
    flush()
  }

  async function page() {
    const asked = next
    const query = asked ? `limit=200&after=${asked - 1}&epoch=${epoch ?? ''}` : 'limit=0'
    const p = await call(`/rooms/${encodeURIComponent(id)}/events?${query}`)
    if (left || asked && !next) return // another user's by now
    if (!asked) { // starts here, or with what came meanwhile
      const early = [...held.values()].map((e) => e.data.roomcast)
      epoch = p.epoch || early[0]?.epoch
      next = Math.min(p.head + 1, ...early.filter((at) => at.epoch === epoch).map((at) => at.seq))
      if (fromPusher?.source.subscribed) live()
    } else if (p.reset) {
      reset(epoch && p.epoch !== epoch ? 'epoch' : 'window', p)
    } else {
      for (const e of p.events) if (e.data.roomcast.seq >= next) take(e.name, e.data, true)
      advance(p.last)
      if (p.events.length) rest()
    }
    for (const [place, e] of held) if (epoch && (e.data.roomcast.epoch !== epoch || e.seq < next)) held.delete(place)
    advance()
    return asked && p.more && !p.reset
  }

  // The app loads its page anew, which has all there is by now.
  function reset(reason, p) {
    for (const e of pending.splice(0)) e.shown = true
    epoch = p?.epoch
    next = p && p.head + 1
    emit('reset', { reason })
  }

  // A lost last message leaves no gap: asks once after each burst.
  function rest() {
    cancel('settle')
    if (settle) later('settle', spread(settle), () => hidden() || catchUp())
  }

  function witness(name, row, commit) {
    const e = pair('supabase', name, row, commit)
    if (!e) return saw('supabase', { name }, 'again')
    e.stream = stream
    saw('supabase', e)
    if (!e.seq) pending.push(e)
    else if (e.shown) synced = stream // it has come as far as the numbers
    if (++unfetched > 100) catchUp() // else a reconnect would ask for it all
    flush()
    rest()
  }

  // Shows what Supabase brought, if it is in order or has waited long enough.
  function flush(late) {
    solo ||= late
    if (!pending.length) return
    if (solo || next && !held.size && !fetching && pending.every((e) => e.seq || e.stream === synced)) {
      cancel('patience')
      for (const e of pending.splice(0)) if (solo || !e.seq) show(e)
    } else {
      catchUp(GAP)
      later('patience', PATIENCE, () => flush(fromSupabase?.live)) // only Roomcast may be away
    }
  }

  // The entry that both sides' events of a change share; none for a repeat.
  function pair(side, name, data, commit) {
    const k = name + key(data), like = seen.filter((e) => e.k === k && (name !== OPS.UPDATE || same(e.data, data)))
    if (commit && like.some((e) => e.commit === commit)) return
    let e = like.find((e) => !e[side])
    if (!e) seen.push(e = { k, name, data })
    if (seen.length > 1000) seen.shift()
    e[side] = true
    e.commit ??= commit
    return e
  }

  // For receipts.js.
  function saw(side, event, how) {
    onSeen?.({ room: id, mode, side, event, how })
  }

  function live() {
    if (handle.status !== 'live' && (next || fromSupabase?.live)) { // from a known number on
      handle.status = 'live'
      emit('live')
    }
    refusals = failures = 0
    prune()
    cancel('fetch')
    cancel('patience')
    catchUp(next && GAP) // everybody else is back now, too
    rest()
  }

  function openPusher() {
    users[channel] = (users[channel] ?? +!!pusher.channel(channel)) + 1 // the app may be one
    const source = pusher.subscribe(channel)
    const heard = (name, data) => {
      if (name === 'packed') data.forEach((e) => heard(...e))
      if (OURS.test(name)) hear(name, data)
      if (name === 'pusher:subscription_succeeded') live()
      if (name === 'pusher:subscription_error') refused(data)
    }
    source.bind_global(heard)
    if (source.subscribed) later('live', 0, live)
    return {
      source,
      close() {
        source.unbind_global(heard)
        if (!--users[channel]) pusher.unsubscribe(channel)
      },
    }
  }

  // pusher-js asks once; a new member may be let in a moment later
  function refused({ status, error }) {
    if ((status ?? +String(error).slice(-3)) === 403 && refusals > 3) {
      handle.status = 'denied'
      emit('denied')
    } else later('refused', backoff(refusals++), resubscribe)
  }

  function resubscribe() {
    const source = fromPusher?.source
    if (!source || source.subscribed) return
    source.disconnect() // else it waits for its refused subscription
    pusher.subscribe(channel)
  }

  function openSupabase() {
    let tries = 0, closed, source
    const open = () => {
      source = supabase.channel('roomcast' + Math.random())
        .on('postgres_changes', { event: '*', schema, table, filter: roomColumn + '=eq.' + id }, (p) =>
          witness(OPS[p.eventType], p.eventType === 'DELETE' ? p.old : p.new, p.commit_timestamp))
        // says that changes flow; SUBSCRIBED comes before
        .on('system', {}, (p) => {
          if (p.extension !== 'postgres_changes' || p.status !== 'ok') return
          self.live = true
          tries = 0
          live()
        })
        .subscribe((status) => {
          stream++
          self.live = false
          if (status === 'CLOSED' && !closed) later('supabase', backoff(tries++), open) // its token has expired
        })
    }
    const self = {
      close() {
        closed = true
        supabase.removeChannel(source)
      },
    }
    open()
    return self
  }

  // The old source goes when the new one is live.
  function prune() {
    if (mode === 'pusher' && fromPusher?.source.subscribed) fromSupabase = fromSupabase?.close()
    if (mode === 'supabase' && fromSupabase?.live) fromPusher = fromPusher?.close()
  }

  async function use() {
    if (left || signedOut()) return
    mode = supabase ? modeOf(id) : 'pusher'
    if (mode !== 'supabase') fromPusher ??= openPusher()
    if (!next) await Promise.race([run(), new Promise((done) => setTimeout(done, PATIENCE))])
    if (left || signedOut()) return
    if (mode !== 'pusher') fromSupabase ??= openSupabase()
    prune()
  }

  function detach() {
    Object.keys(timers).forEach(cancel)
    fromPusher = fromPusher?.close()
    fromSupabase = fromSupabase?.close()
  }

  const handle = /** @type {any} */ ({
    id,
    status: 'joining',
    get mode() { return mode },
    on(name, fn) {
      const h = { name, fn }
      handlers.add(h)
      return () => handlers.delete(h)
    },
    leave() {
      left = true
      handle.status = 'left'
      rooms.delete(self)
      detach()
    },
  })
  const self = {
    handle, use,
    check() {
      failures = 0
      cancel('fetch')
      catchUp(GAP)
      resubscribe()
    },
    restart() {
      detach()
      seen.length = 0
      held.clear()
      handle.status = 'joining'
      reset('user')
      use()
    },
  }
  return self
}
