// @ts-check
// Sends what rooms count during the dual run to POST /parity. A module of its own,
// since it goes when the move is done. receipts.d.ts tells how to use it.

const MINUTE = 60 // seconds: how often rooms tell, and the pace until the function asks for another
const LONGEST = 300 // between two tries

/** @type {import('./receipts.d.ts').sendReceipts} */
export function sendReceipts({ url, supabase, token }) {
  const rooms = new Map()

  const bearer = async (renew) => token ? token(renew)
    : (await supabase.auth[renew ? 'refreshSession' : 'getSession']()).data.session?.access_token

  async function post(receipt, renew = false) {
    const response = await fetch(url + '/parity', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: 'Bearer ' + await bearer(renew) },
      body: JSON.stringify({ ...receipt, until: Date.now() }),
      signal: AbortSignal.timeout(10000),
    })
    return response.status === 401 && !renew ? post(receipt, true) : response
  }

  // Sends one receipt until an answer says that it was taken or refused. When no answer
  // comes, nobody knows: the same number makes the next try harmless.
  async function deliver(receipt) {
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

  // One receipt of a room is under way at a time; what is counted meanwhile waits and
  // goes with the next.
  async function run(room) {
    while (room.counts) {
      await sleep(room.due - Date.now())
      const { counts, page } = room
      room.counts = undefined
      const response = await deliver({ ...counts, page, n: ++room.n })
      if ([403, 404].includes(response.status)) return rooms.delete(counts.room) // no longer this user's; or forward-only
      const { every = MINUTE } = response.ok ? await response.json().catch(() => ({})) : {}
      // At the usual pace the rooms' own minute is enough.
      room.due = Date.now() + (every > MINUTE ? spread(every) : 0)
    }
    room.running = false
  }

  return (receipt) => {
    if (receipt.mode !== 'both' || !Object.values(receipt).some(filled)) return
    let room = rooms.get(receipt.room)
    if (!room) rooms.set(receipt.room, room = { page: crypto.randomUUID(), n: 0, due: 0 })
    room.counts = room.counts ? add(room.counts, receipt) : receipt
    if (!room.running) room.running = true, run(room)
  }
}

// Up to half as long again: many pages must not come at once.
const spread = (seconds) => seconds * (1000 + 500 * Math.random())

// In Node a receipt that waits keeps no program running.
const sleep = (ms) => new Promise((done) => Object(setTimeout(done, ms)).unref?.())

const filled = (value) => Array.isArray(value) ? value.some(filled) : value > 0

// Numbers add up, histograms bucket by bucket; the rest stays as it is.
function add(a, b) {
  const sum = { ...a }
  for (const [name, value] of Object.entries(b)) {
    if (typeof value === 'number') sum[name] += value
    if (Array.isArray(value)) sum[name] = value.map((n, i) => n + a[name][i])
  }
  return sum
}
