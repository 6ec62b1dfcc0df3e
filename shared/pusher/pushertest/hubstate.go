package pushertest

import (
	"maps"
	"slices"
	"strings"
)

// What can be asked of a hub.

func (h *hub) connected() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sockets)
}

func (h *hub) subscribers(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ch := h.channels[name]; ch != nil {
		return len(ch.sockets)
	}
	return 0
}

// occupied returns the names of the channels with subscribers, sorted. The users' own
// channels are not the app's to see.
func (h *hub) occupied(prefix string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	for name := range h.channels {
		if strings.HasPrefix(name, prefix) && !strings.HasPrefix(name, userChannelPrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (h *hub) members(name string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ch := h.channels[name]; ch != nil {
		return slices.Sorted(maps.Keys(ch.members))
	}
	return nil
}

func (h *hub) info(name string) channelInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	var sockets, users int
	if ch := h.channels[name]; ch != nil {
		sockets, users = len(ch.sockets), len(ch.members)
	}
	occupied := sockets > 0
	info := channelInfo{Occupied: &occupied, SubscriptionCount: &sockets}
	if strings.HasPrefix(name, "presence-") {
		info.UserCount = &users
	}
	return info
}
