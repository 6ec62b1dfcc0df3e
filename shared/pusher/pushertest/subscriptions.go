package pushertest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Coming and going: who is in a channel, and what the others are told.

// subscribe makes the socket a listener, as a member if id is not empty, and answers it. It
// reports false when a presence channel is full.
func (h *hub) subscribe(sock *socket, name, id string, info json.RawMessage) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !sock.channels[name] && !h.join(sock, name, id, info) {
		return false
	}
	sock.send(frame{Event: evSubscribed, Channel: name, Data: h.channels[name].greeting()})
	h.changed.notify()
	return true
}

func (h *hub) join(sock *socket, name, id string, info json.RawMessage) bool {
	ch := h.channels[name]
	if id != "" && ch != nil && ch.members[id] == nil && len(ch.members) >= maxMembers {
		return false
	}
	if ch == nil {
		ch = &channel{name: name, sockets: make(map[*socket]string), members: make(map[string]*member)}
		h.channels[name] = ch
		h.report(hookEvent{Name: "channel_occupied", Channel: name})
	}
	if id != "" {
		h.enter(ch, id, info)
	}
	ch.sockets[sock] = id
	sock.channels[name] = true
	return true
}

// enter counts a member's connection; the others hear of the first one only.
func (h *hub) enter(ch *channel, id string, info json.RawMessage) {
	m := ch.members[id]
	if m == nil {
		m = &member{info: info}
		ch.members[id] = m
		ch.send(frame{Event: evMemberIn, Data: nested(memberData{id, info})}, "")
		h.report(hookEvent{Name: "member_added", Channel: ch.name, UserID: id})
	}
	m.conns++
}

func (h *hub) unsubscribe(sock *socket, name string) {
	h.mu.Lock()
	h.leave(sock, name)
	h.mu.Unlock()
	h.changed.notify()
}

// leave undoes join, under the lock. The others hear when a member's last connection goes.
func (h *hub) leave(sock *socket, name string) {
	ch := h.channels[name]
	if ch == nil || !sock.channels[name] {
		return
	}
	id := ch.sockets[sock]
	delete(ch.sockets, sock)
	delete(sock.channels, name)
	if m := ch.members[id]; m != nil {
		if m.conns--; m.conns == 0 {
			delete(ch.members, id)
			ch.send(frame{Event: evMemberOut, Data: nested(memberData{UserID: id})}, "")
			h.report(hookEvent{Name: "member_removed", Channel: name, UserID: id})
		}
	}
	if len(ch.sockets) == 0 {
		delete(h.channels, name)
		h.report(hookEvent{Name: "channel_vacated", Channel: name})
	}
}

type memberData struct {
	UserID string          `json:"user_id"`
	Info   json.RawMessage `json:"user_info,omitempty"`
}

// greeting is the data of subscription_succeeded: {} or, in a presence channel, who is there.
func (ch *channel) greeting() string {
	if !strings.HasPrefix(ch.name, "presence-") {
		return "{}"
	}
	hash := make(map[string]json.RawMessage, len(ch.members))
	for id, m := range ch.members {
		hash[id] = m.info // null when the member brought none
	}
	return nested(map[string]any{"presence": map[string]any{
		"ids": slices.Sorted(maps.Keys(hash)), "hash": hash, "count": len(hash),
	}})
}
