// The page of page_test.go: each mode, one client that switches, and beside them what
// an app without Roomcast's client would have. Each shows its messages in a list.
import { createRoomcast } from '/roomcast.js'

const { Pusher, supabase: { createClient } } = window
const settings = new URLSearchParams(location.search)
const [host, port] = settings.get('pusher').split(':')
const room = settings.get('room')

function list(name) {
  const ol = document.createElement('ol')
  ol.id = name
  const section = document.createElement('section')
  section.append(name, ol)
  document.body.append(section)
  return (text) => {
    const li = document.createElement('li')
    li.textContent = text
    ol.append(li)
  }
}

async function signedIn(name) {
  const supabase = createClient(location.origin, 'sb_publishable_test', {
    auth: { autoRefreshToken: false, persistSession: false, storageKey: name },
  })
  const session = await (await fetch('/world/login', { method: 'POST', body: JSON.stringify({ User: name }) })).json()
  await supabase.auth.setSession(session)
  return supabase
}

const connect = (options) => new Pusher(settings.get('key'), {
  cluster: '', wsHost: host, wsPort: port, forceTLS: false, enabledTransports: ['ws'], disableStats: true, ...options,
})

async function client(name, mode) {
  const show = list(name)
  const supabase = await signedIn(name)
  const rooms = createRoomcast({ pusher: connect(), supabase, url: location.origin, mode, settle: 1500 })
  const joined = rooms.join(room)
  joined.on('new-message', (m) => show(m.content))
  joined.on('reset', () => show('reset'))
  return { rooms, joined }
}

async function naivePusher() {
  const show = list('naive-pusher')
  const supabase = await signedIn('naive-pusher')
  const token = (await supabase.auth.getSession()).data.session.access_token
  connect({
    channelAuthorization: { transport: 'ajax', endpoint: '/pusher/auth', headers: { Authorization: `Bearer ${token}` } },
  }).subscribe(`private-room-${room}`).bind('new-message', (m) => show(m.content))
}

async function naiveSupabase() {
  const show = list('naive-supabase')
  const supabase = await signedIn('naive-supabase')
  supabase.channel('naive').on('postgres_changes', {
    event: 'INSERT', schema: 'public', table: 'messages', filter: `room_id=eq.${room}`,
  }, (change) => show(change.new.content)).subscribe()
}

const clients = await Promise.all([client('pusher', 'pusher'), client('both', 'both'), client('supabase', 'supabase'), client('switching', 'supabase')])
await Promise.all([naivePusher(), naiveSupabase()])

/** Whether everybody is live; the naive ones are by then. */
window.ready = () => clients.every(({ joined }) => joined.status === 'live')
window.switchTo = (mode) => clients[3].rooms.setMode(mode)
window.shown = () => Object.fromEntries([...document.querySelectorAll('ol')].map((ol) => [ol.id, [...ol.children].map((li) => li.textContent)]))
window.last = (text) => ['pusher', 'both', 'supabase', 'switching'].every((id) => document.getElementById(id).lastElementChild?.textContent === text)
window.loaded = true
