package presence

import (
	"unicode/utf8"

	"roomcast/shared/access"
	"roomcast/shared/event"
	"roomcast/shared/pusher"
)

// The webhook events that presence is made of
// (pusher.com/docs/channels/server_api/webhooks). Others are passed over.
const (
	memberAdded    = "member_added"
	memberRemoved  = "member_removed"
	channelVacated = "channel_vacated" // heals what a lost member_removed left behind
)

// digest reduces one webhook's events, which are in order, to the last state of each user
// in each room. A vacated room has no users but those added afterwards; the empty user
// stands for all users that only the store knows.
func digest(events []pusher.WebhookEvent) []access.Presence {
	type place struct{ room, user string }
	at := make(map[place]int)
	var said []access.Presence
	say := func(room, user string, online bool) {
		p := place{room, user}
		if i, ok := at[p]; ok {
			said[i].Online = online
			return
		}
		at[p] = len(said)
		said = append(said, access.Presence{Room: room, UserID: user, Online: online})
	}
	for _, e := range events {
		room := roomOf(e.Channel)
		if room == "" {
			continue // another application's channel
		}
		switch e.Name {
		case memberAdded, memberRemoved:
			if e.UserID != "" && utf8.RuneCountInString(e.UserID) <= pusher.MaxUserID && event.IsText(e.UserID) {
				say(room, e.UserID, e.Name == memberAdded)
			}
		case channelVacated:
			for i := range said {
				if said[i].Room == room {
					said[i].Online = false
				}
			}
			say(room, "", false)
		}
	}
	return said
}

// roomOf is the id of the room whose presence channel this is, or empty.
func roomOf(channel string) string {
	kind, key, err := event.ParseChannel(channel)
	if err != nil || kind != event.Presence {
		return ""
	}
	if _, room, err := event.ParseKey(key); err == nil && event.IsText(room) {
		return room
	}
	return ""
}
