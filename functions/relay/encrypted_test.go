package relay

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/secretbox"

	"roomcast/shared/event"
	"roomcast/shared/pusher"
	"roomcast/shared/pusher/pushertest"
)

// Of an encrypted room Pusher sees names and sizes, and nothing else: events, the
// stub of one that is too large once it is sealed, and the deletion are opened with
// the room's key alone; what had to be parked never left.
func TestEncryptedRoom(t *testing.T) {
	const secret = "a secret among members"
	s := newStack(t)
	master := strings.Repeat("k", 32)
	client := s.client(func(c *pusher.Config) { c.EncryptionKey = base64.StdEncoding.EncodeToString([]byte(master)) })
	s.pusher.Inject(pushertest.Fault{Status: 400, Times: 2}) // the batch, then the first of it alone

	s.insert(roomA, secret+", refused") // parked
	s.insert(roomA, secret)
	s.insert(roomA, secret+strings.Repeat("x", 7500)) // fits a private channel
	s.relay("r", func(c *Config) { c.Publisher, c.Channels = client, []event.ChannelKind{event.Encrypted} })
	s.wait("two events", func(all []pushertest.Accepted) bool { return len(all) == 2 })
	s.exec(`delete from messages where content = $1`, secret)
	all := s.wait("the deletion", func(all []pushertest.Accepted) bool { return len(all) == 3 })

	var opened []data
	for _, a := range all {
		if strings.Contains(a.Data, "secret") || strings.Contains(a.Data, roomA) || !strings.HasPrefix(a.Data, `{"nonce":"`) {
			t.Errorf("pusher was sent %.80s", a.Data)
		}
		opened = append(opened, open(t, master, a))
	}
	if opened[0].Content != secret || opened[0].Roomcast.Seq != 2 {
		t.Errorf("the message is %+v", opened[0])
	}
	if stub := opened[1]; stub.Content != "" || !stub.Roomcast.Stub || stub.ID == "" {
		t.Errorf("the stub is %+v", stub)
	}
	if gone := opened[2]; all[2].Name != event.MessageDeleted || gone.Content != "" || gone.ID != opened[0].ID {
		t.Errorf("the deletion is %s %+v", all[2].Name, gone)
	}
	if n := query[int](s, `select count(*) from roomcast.parked where seq = 1`); n != 1 {
		t.Error("the refused event is not parked")
	}
}

// open opens a sealed event as pusher-js does: the key is the hash of the channel's
// name and the master key.
func open(t *testing.T, master string, a pushertest.Accepted) (d data) {
	t.Helper()
	var sealed struct{ Nonce, Ciphertext []byte } // base64 in JSON
	if err := json.Unmarshal([]byte(a.Data), &sealed); err != nil || len(sealed.Nonce) != 24 {
		t.Fatalf("not sealed: %v", err)
	}
	key := sha256.Sum256([]byte(a.Channel + master))
	clear, ok := secretbox.Open(nil, sealed.Ciphertext, (*[24]byte)(sealed.Nonce), &key)
	if !ok {
		t.Fatal("the room's key does not open it")
	}
	a.Data = string(clear)
	return parse(t, a)
}
