// @ts-check
// Sends what rooms count during the dual run to POST /parity. A module of its own,
// since it goes when the move is done. receipts.d.ts tells how to use it.

const FIRST = 60 // seconds, until the function asks for another pace
const LONGEST = 300 // between two tries

const spread = (seconds) => seconds * (500 + 500 * Math.random()) // in ms
const filled = (v) => typeof v === 'number' ? v > 0 : Array.isArray(v) && v.some(filled)

/** @type {import('./receipts.d.ts').sendReceipts} */
export function sendReceipts({ url, supabase, token }) {
  const rooms = new Map()

  const bearer = async (renew) => token ? token(renew)
    : (await supabase.auth[renew ? 'refreshSession' : 'getSession']()).data.session?.access_token

  async function post(body, renew = false) {
    const headers = { 'Content-Type': 'application/json', Authorization: 'Bearer ' + await bearer(renew) }
    const response = await fetch(url + '/parity', { method: 'POST', headers, body, keepalive: true, signal: AbortSignal.timeout(10000) })
    return response.status === 401 && !renew ? post(body, true) : response
  }

  // One receipt is under way at a time. It is sent, with its number, until the answer
  // says that it was taken or refused; what is counted meanwhile goes into the next.
  async function send(r) {
    r.timer = undefined
    r.sending ??= r.counts
    if (r.sending === r.counts) r.counts = undefined, r.n++
    if (!r.sending) return
    let wait
    try {
      const response = await post(JSON.stringify({ page: r.page, n: r.n, ...r.sending, until: Date.now() }))
      const again = response.status === 429 || response.status >= 500
      if (again) wait = Number(response.headers.get('Retry-After'))
      else {
        r.sending = undefined
        r.tries = 0
        if (response.ok) r.every = (await response.json()).every
        if ([403, 404].includes(response.status)) return rooms.delete(r.room) // not this user's, or forward-only
      }
    } catch {} // nobody knows whether it was taken: the same number tells
    if (r.sending) later(r, Math.max(wait || 0, Math.min(LONGEST, 2 ** r.tries++ * 4)))
    else if (r.counts) later(r, r.every)
  }

  function later(r, seconds) {
    r.timer ??= setTimeout(() => send(r), spread(seconds))
    r.timer.unref?.() // Node: a receipt keeps no program running
  }

  return (receipt) => {
    if (receipt.mode !== 'both' || !Object.values(receipt).some(filled)) return
    let r = rooms.get(receipt.room)
    if (!r) rooms.set(receipt.room, r = { room: receipt.room, page: crypto.randomUUID(), n: 0, every: FIRST, tries: 0, last: 0 })
    r.counts = r.counts ? add(r.counts, receipt) : receipt
    // The counts come once a minute by themselves: at the usual pace they go at once.
    if (!r.timer && !r.sending && Date.now() - r.last > (r.every - FIRST) * 1000) r.last = Date.now(), send(r)
    else if (!r.sending) later(r, r.every)
  }
}

// Numbers add up, histograms bucket by bucket; the rest stays as it is.
function add(a, b) {
  const sum = { ...a }
  for (const [name, value] of Object.entries(b)) {
    if (typeof value === 'number') sum[name] += value
    if (Array.isArray(value)) sum[name] = value.map((n, i) => n + (a[name][i] ?? 0))
  }
  return sum
}
