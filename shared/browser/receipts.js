// @ts-check
// The dual run's evidence: counts what rooms see by which way, and sends the counts to
// POST /parity. A module of its own, since it goes when the move is done. receipts.d.ts
// tells how to use it; functions/parity/receipt.go, what a receipt means.

const GRACE = 30 // seconds after which the other side has missed an event
const MINUTE = 60 // how often a room tells, until the function asks for another pace
const LONGEST = 300 // between two tries
const MOST = 2000 // events that wait for their other half

/** @type {import('./receipts.d.ts').sendReceipts} */
export function sendReceipts({ url, supabase, token, every = MINUTE, grace = GRACE }) {
  const rooms = new Map()
  const post = poster(url, token ?? (async (renew) =>
    (await supabase.auth[renew ? 'refreshSession' : 'getSession']()).data.session?.access_token))

  async function run(room) {
    do {
      await sleep(spread(room.pace ?? every))
      const counts = room.take(grace)
      if (!counts) continue
      const response = await deliver(post, { room: room.id, mode: 'both', ...counts, page: room.page, n: ++room.n })
      const answer = response.ok ? await response.json().catch(() => ({})) : {}
      room.pace = answer.every > MINUTE ? answer.every : every
    } while (room.waiting.size || room.counted())
    room.running = false // nothing happens here: no timer either
  }

  return (sighting) => {
    let room = rooms.get(sighting.room)
    if (sighting.mode !== 'both') return room?.forget()
    if (!room) rooms.set(sighting.room, room = createLedger(sighting.room))
    room.see(sighting)
    if (!room.running) room.running = true, run(room)
  }
}

// What one room has seen since its last receipt.
function createLedger(id) {
  const waiting = new Map(), told = new WeakSet() // events: with something to come; done with
  const fetched = new Map() // of those waiting, by seq: Pusher may only be late
  let counts = zero(), compared = false, last = {}, arrived = 0

  // Of new messages only, which both sides should bring. Realtime tells nothing of
  // members, and of deletions only with replica identity full; Roomcast tells nothing of
  // an edit that changes no attached column.
  function see({ side, event, how }) {
    if (event.name !== 'new-message') return
    if (how === 'again') return again(side, event)
    if (told.has(event)) return
    let e = waiting.get(event)
    if (!e) waiting.set(event, e = { since: Date.now() })
    if (e[side]) return
    e[side] = how ?? delay(event.commit ?? event.data.roomcast?.at)
    if (how) fetched.set(event.seq, event)
    if (side === 'supabase') e.order = ++arrived
    brought(event, e)
    // Under such a load the oldest goes untold: a sample is evidence, too.
    if (waiting.size > MOST) pass(waiting.keys().next().value)
  }

  function again(side, { seq, at }) {
    const event = side === 'pusher' && fetched.get(seq)
    if (!event) return counts[side + 'Repeats']++
    fetched.delete(seq)
    const e = waiting.get(event)
    e.pusher = delay(at)
    brought(event, e)
  }

  function brought(event, e) {
    if (e.pusher && e.supabase && e.pusher !== 'fetched') match(event, e)
  }

  // Counting begins with the first event that both have brought: until then one of them
  // was only being opened.
  function match(event, e) {
    if (!compared) for (const [other, { since }] of waiting) if (since < e.since) pass(other)
    compared = true
    if ((event.seq - last.seq) * (e.order - last.order) < 0) counts.flips++
    last = { seq: event.seq, order: e.order }
    tell('both', event, e)
  }

  function tell(as, event, e) {
    counts[as]++
    if (e.pusher === 'fetched') counts.fetched++
    for (const side of ['pusher', 'supabase']) {
      const bucket = Math.ceil(2 * Math.log2(e[side]))
      if (bucket >= 0) counts[side + 'Delays'][Math.min(31, bucket)]++ // else it is NaN: not brought, or not timed
    }
    pass(event)
  }

  function pass(event) {
    waiting.delete(event)
    fetched.delete(event.seq)
    told.add(event)
  }

  // The counts, and zeros from now on; nothing if there are none.
  function take(grace) {
    for (const [event, e] of waiting) {
      if (Date.now() - e.since < grace * 1000) continue
      if (compared) tell(e.pusher && e.supabase ? 'both' : e.pusher ? 'pusher' : 'supabase', event, e)
      else pass(event)
    }
    if (!counted()) return
    const taken = counts
    counts = zero()
    return taken
  }

  const counted = () => Object.values(counts).flat().some((n) => n > 0)

  // Another mode: what one side brings from now on is not missed by the other.
  function forget() {
    for (const event of waiting.keys()) pass(event)
    compared = false
  }

  return { id, page: crypto.randomUUID(), n: 0, pace: undefined, running: false, waiting, see, take, counted, forget }
}

// In ms, by this machine's clock; text where it cannot be told.
const delay = (commit) => Math.max(1, Date.now() - Date.parse(commit)) || 'untimed'

function zero() {
  const histogram = () => Array(32).fill(0)
  return { both: 0, pusher: 0, supabase: 0, fetched: 0, pusherRepeats: 0, supabaseRepeats: 0, flips: 0, pusherDelays: histogram(), supabaseDelays: histogram() }
}

function poster(url, token) {
  return async function post(receipt, renew = false) {
    const response = await fetch(url + '/parity', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: 'Bearer ' + await token(renew) },
      body: JSON.stringify({ ...receipt, until: Date.now() }),
      signal: AbortSignal.timeout(10000),
    })
    return response.status === 401 && !renew ? post(receipt, true) : response
  }
}

// Sends one receipt until an answer says that it was taken or refused. When no answer
// comes nobody knows: the same number makes the next try harmless.
async function deliver(post, receipt) {
  for (let wait = 4; ; wait = Math.min(LONGEST, wait * 2)) {
    let asked = 0
    try {
      const response = await post(receipt)
      if (response.status !== 429 && response.status < 500) return response
      asked = Number(response.headers.get('Retry-After'))
    } catch {}
    await sleep(spread(Math.max(wait, asked)))
  }
}

// Up to half as long again, in ms: many pages must not come at once.
const spread = (seconds) => seconds * (1000 + 500 * Math.random())

// In Node a receipt that waits keeps no program running.
const sleep = (ms) => new Promise((done) => Object(setTimeout(done, ms)).unref?.())
