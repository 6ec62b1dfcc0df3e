package pushertest

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
)

// hub knows who listens to what. One lock guards all of it: whatever happens to channels and
// members has one order, and handing a message to a socket is only an append to its queue.
type hub struct {
	changed broadcast          // after each change of connections and subscriptions
	report  func(...hookEvent) // to the webhooks; must not block

	mu       sync.Mutex
	sockets  map[string]*socket // by socket id
	channels map[string]*channel
	users    map[string]map[*socket]bool // signed in, by user id
}

// channel exists while somebody is subscribed to it.
type channel struct {
	name    string
	sockets map[*socket]string // to the member's id; empty outside presence channels
	members map[string]*member // presence channels only
}

// member is one user, on one connection or several.
type member struct {
	info  json.RawMessage
	conns int
}

func newHub(report func(...hookEvent)) *hub {
	return &hub{
		report:   report,
		sockets:  make(map[string]*socket),
		channels: make(map[string]*channel),
		users:    make(map[string]map[*socket]bool),
	}
}

func (h *hub) add(sock *socket) {
	h.mu.Lock()
	h.sockets[sock.id] = sock
	h.mu.Unlock()
	h.changed.notify()
}

// remove forgets a socket that is gone, with its subscriptions and its sign-in.
func (h *hub) remove(sock *socket) {
	h.mu.Lock()
	delete(h.sockets, sock.id)
	h.signOut(sock)
	for _, name := range slices.Sorted(maps.Keys(sock.channels)) {
		h.leave(sock, name)
	}
	h.mu.Unlock()
	h.changed.notify()
}

// publish hands a message to all subscribers of its channel except one.
func (h *hub) publish(f frame, exceptSocketID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ch := h.channels[f.Channel]; ch != nil {
		ch.send(f, exceptSocketID)
	}
}

func (ch *channel) send(f frame, exceptSocketID string) {
	f.Channel = ch.name
	message := f.encode()
	for sock := range ch.sockets {
		if sock.id != exceptSocketID {
			sock.queue.add(message)
		}
	}
}

// relay passes a client event on to the channel's other subscribers.
func (h *hub) relay(sock *socket, name, event string, data json.RawMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ch := h.channels[name]; ch != nil && sock.channels[name] {
		ch.send(frame{Event: event, Data: data, UserID: ch.sockets[sock]}, sock.id)
	}
}

// signIn makes the socket one of the user's; a socket has one user, the last.
func (h *hub) signIn(sock *socket, userID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.signOut(sock)
	sock.userID = userID
	if h.users[userID] == nil {
		h.users[userID] = make(map[*socket]bool)
	}
	h.users[userID][sock] = true
}

func (h *hub) signOut(sock *socket) {
	delete(h.users[sock.userID], sock)
	if len(h.users[sock.userID]) == 0 {
		delete(h.users, sock.userID)
	}
}

func (h *hub) signedIn(userID string) []*socket {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.users[userID]))
}

// each calls fn, which must not block, for every socket.
func (h *hub) each(fn func(*socket)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, sock := range h.sockets {
		fn(sock)
	}
}
