// The page of cuts_test.go: Roomcast's client in each mode and one that switches, and
// beside them what an app without it would have. Each shows its messages in a list.
import { createRoomcast } from '/roomcast.js'
import { sendReceipts } from '/receipts.js'

const { Pusher, supabase: { createClient } } = window
const settings = new URLSearchParams(location.search)
const [host, port] = settings.get('pusher').split(':')
const room = settings.get('room')

function list(id, title, about) {
  const section = document.createElement('section')
  section.innerHTML = `<h2>${title}<output></output></h2><small>${about}</small><ol id="${id}"></ol>`
  document.querySelector('main').append(section)
  const [ol, count] = [section.querySelector('ol'), section.querySelector('output')]
  return (text) => {
    const li = document.createElement('li')
    li.textContent = text
    if (text === 'reset') li.className = 'odd'
    ol.append(li)
    count.textContent = `${ol.children.length} shown`
  }
}

/** A user of this name. What its tokens live is the test's to say; supabase-js believes in an hour. */
async function signedIn(name) {
  const supabase = createClient(location.origin, 'sb_publishable_local', {
    auth: { autoRefreshToken: false, persistSession: false, storageKey: name },
  })
  const session = await (await fetch('/session?name=' + name, { method: 'POST' })).json()
  await supabase.auth.setSession(session)
  return { supabase, user: session.user.id }
}

const connect = (options) => new Pusher(settings.get('key'), {
  cluster: '', wsHost: host, wsPort: port, forceTLS: false, enabledTransports: ['ws'], disableStats: true, ...options,
})

async function client(name, mode, about) {
  const show = list(name, `Roomcast, ${name}`, about)
  const { supabase, user } = await signedIn(name)
  const send = sendReceipts({ url: location.origin, supabase, every: 3, grace: 15 }) // seconds: a busy machine is not a lossy one
  const tally = createTally()
  const onSeen = (seen) => (tally.see(seen), send(seen))
  const rooms = createRoomcast({ pusher: connect(), supabase, url: location.origin, mode, settle: 1500, onSeen })
  const joined = rooms.join(room, { after: 0 })
  joined.on('new-message', (m) => show(m.content))
  joined.on('reset', () => show('reset'))
  return { name, user, rooms, joined, tally }
}

/** What each side brought, counted without receipts.js: the parity report is held against it. */
function createTally() {
  const pushed = new Set(), brought = { pusher: new Set(), supabase: new Set() }
  const it = {
    first: 0, // that both pushed: the comparison begins with it
    see({ side, event, how }) {
      if (event.name !== 'new-message' || how === 'again') return
      const n = Number(event.data.content)
      brought[side].add(n)
      if (side === 'pusher' && !how) pushed.add(n)
      if (pushed.has(n) && brought.supabase.has(n)) it.first ||= n
    },
    lostBySupabase: () => [...brought.pusher].filter((n) => n >= it.first && !brought.supabase.has(n)).length,
  }
  return it
}

// Receipts as they leave, each once however often it is tried: by user, page and number.
const receipts = new Map()
const send = window.fetch
window.fetch = (address, init) => {
  if (String(address).endsWith('/parity')) {
    const receipt = JSON.parse(init.body), { sub } = JSON.parse(atob(init.headers.Authorization.split('.')[1]))
    receipts.set([sub, receipt.page, receipt.n].join(), { sub, ...receipt })
  }
  return send(address, init)
}

async function naivePusher() {
  const show = list('naive-pusher', 'Plain pusher-js', 'channel.bind, as its manual has it')
  const { supabase } = await signedIn('naive-pusher')
  const token = (await supabase.auth.getSession()).data.session.access_token
  connect({
    channelAuthorization: { transport: 'ajax', endpoint: '/pusher/auth', headers: { Authorization: `Bearer ${token}` } },
  }).subscribe(`private-room-${room}`).bind('new-message', (m) => show(m.content))
}

async function naiveSupabase() {
  const show = list('naive-supabase', 'Plain supabase-js', 'postgres_changes, as its manual has it')
  const { supabase } = await signedIn('naive-supabase')
  supabase.channel('naive').on('postgres_changes', {
    event: 'INSERT', schema: 'public', table: 'messages', filter: `room_id=eq.${room}`,
  }, (change) => show(change.new.content)).subscribe()
}

const clients = []
for (const [mode, about] of [['pusher', 'after the move'], ['both', 'the dual run'], ['supabase', 'before the move']]) {
  clients.push(await client(mode, mode, about))
}
clients.push(await client('switching', 'supabase', 'every third cut to another mode'))
await naivePusher()
await naiveSupabase()

const [, both, , switching] = clients
const lists = () => [...document.querySelectorAll('ol')]

window.live = () => clients.every(({ joined }) => joined.status === 'live')
/** Whether every source flows: Realtime's channels are live some time after they say so. */
window.flowing = () => both.tally.first > 0 && lists().every((ol) => ol.children.length > 0)
window.switchTo = (mode) => switching.rooms.setMode(mode)
window.shown = () => Object.fromEntries(lists().map((ol) => [ol.id, [...ol.children].map((li) => li.textContent)]))
window.last = (text) => clients.every(({ name }) => document.getElementById(name).lastElementChild?.textContent === text)
window.counts = () => ({
  first: both.tally.first, lostBySupabase: both.tally.lostBySupabase(),
  told: Object.fromEntries(clients.map(({ name, user }) => [name, [...receipts.values()].filter((r) => r.sub === user)
    .reduce((sum, r) => ({ both: sum.both + r.both, pusher: sum.pusher + r.pusher, supabase: sum.supabase + r.supabase }), { both: 0, pusher: 0, supabase: 0 })])),
})
/** Draws what is missing in its place, once n have been written. */
window.draw = (n, words) => {
  document.getElementById('told').textContent = words
  for (const ol of lists()) {
    const has = new Map([...ol.children].map((li) => [li.textContent, li]))
    let lost = 0
    for (let i = Number(ol.firstElementChild.textContent); i <= n; i++) {
      if (has.has(String(i))) continue
      lost++
      const li = document.createElement('li')
      li.className = 'lost'
      ol.insertBefore(li, has.get(String(i - 1))?.nextSibling ?? null)
      has.set(String(i), li)
    }
    ol.parentElement.classList.toggle('lossy', lost > 0)
    ol.parentElement.querySelector('output').textContent = lost ? `${lost} lost` : `all ${n}, once and in order`
  }
}
window.loaded = true
