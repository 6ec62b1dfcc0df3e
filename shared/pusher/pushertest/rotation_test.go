package pushertest

import (
	"context"
	"encoding/base64"
	"strings"
	"sync/atomic"
	"testing"

	"roomcast/shared/pusher"
)

// rotating authorizes with the key of the moment.
type rotating struct {
	ours
	now atomic.Pointer[pusher.Client]
}

func (r *rotating) authorize(ctx context.Context, socketID, channel string, member *pusher.Member) ([]byte, error) {
	return ours{r.now.Load()}.authorize(ctx, socketID, channel, member)
}

// A new encryption key reaches the pages that listen: the real pusher-js asks for
// authorization again when it cannot open an event, and opens that one, too. Until
// then it opens what was sealed with the old key.
func TestEncryptionKeyRotation(t *testing.T) {
	const room = "private-encrypted-room-1"
	s := start(t, Options{})
	withKey := func(letter string) *pusher.Client {
		cfg := s.Config()
		cfg.EncryptionKey = base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32)))
		c, err := pusher.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before, after := withKey("a"), withKey("b")
	lib := &rotating{ours: ours{before}}
	lib.now.Store(before)
	st := &stage{browsers: startBrowsers(t), server: s, lib: lib, auth: authServer(t, lib)}
	st.enter(t, "anna")
	st.subscribe(t, "anna", room)
	publish := func(c *pusher.Client, n string) {
		t.Helper()
		if err := c.PublishBatch(within(t), []pusher.Event{{Channel: room, Name: "sealed", Data: []byte(n)}}); err != nil {
			t.Fatal(err)
		}
	}
	publish(before, "1")
	st.await(t, seen{Browser: "anna", Channel: room, Event: "sealed", Data: []byte("1")})
	lib.now.Store(after)
	publish(after, "2")
	st.await(t, seen{Browser: "anna", Channel: room, Event: "sealed", Data: []byte("2")})
	publish(after, "3")
	st.await(t, seen{Browser: "anna", Channel: room, Event: "sealed", Data: []byte("3")})
}
