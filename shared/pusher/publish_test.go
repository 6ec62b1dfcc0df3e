package pusher

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/secretbox"
)

// sent is what a server sees of one event of a batch.
type sent struct {
	Channel string `json:"channel"`
	Name    string `json:"name"`
	Data    string `json:"data"`
}

// sink is a client whose batches end in the returned slice.
func sink(t testing.TB, change ...func(*Config)) (*Client, *[]sent) {
	var all []sent
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Batch []sent }
		raw, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(raw, &body) != nil {
			t.Errorf("received %q, %v", raw, err)
		}
		all = append(all, body.Batch...)
	}, change...)
	return c, &all
}

func withKey(c *Config) { c.EncryptionKey = base64.StdEncoding.EncodeToString(masterKey()) }

func masterKey() []byte { return []byte("01234567890123456789012345678901") }

func TestBatchArrivesAsItWasGiven(t *testing.T) {
	c, got := sink(t, func(c *Config) { c.EncryptionKey = "" })
	data := []string{`{"id":9007199254740993,"n":1.10,"t":"<&>\u2028"}`, "plain \" text \n", "", "😀\u2028é"}
	var events []Event
	for _, d := range data {
		events = append(events, Event{Channel: "private-x", Name: "n", Data: []byte(d)})
	}
	if err := c.PublishBatch(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	for i, e := range *got {
		if e.Data != data[i] || e.Channel != "private-x" || e.Name != "n" {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	if len(*got) != len(data) {
		t.Errorf("%d events arrived, want %d", len(*got), len(data))
	}
}

func TestEncryptedEventsInABatch(t *testing.T) {
	c, got := sink(t, withKey)
	events := []Event{
		{Channel: "private-encrypted-a", Name: "n", Data: []byte("for a")},
		{Channel: "private-b", Name: "n", Data: []byte("for b")},
		{Channel: "private-encrypted-c", Name: "n", Data: []byte("for c")},
	}
	if err := c.PublishBatch(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if len(*got) != 3 || (*got)[1].Data != "for b" {
		t.Fatalf("got %+v", *got)
	}
	for _, i := range []int{0, 2} {
		if text := open(t, (*got)[i]); text != string(events[i].Data) {
			t.Errorf("event %d: opened to %q", i, text)
		}
	}
}

// open decrypts as a browser does.
func open(t *testing.T, e sent) string {
	t.Helper()
	var box struct{ Nonce, Ciphertext []byte }
	if err := json.Unmarshal([]byte(e.Data), &box); err != nil || len(box.Nonce) != 24 {
		t.Fatalf("%s: %v", e.Data, err)
	}
	key := sha256.Sum256(append([]byte(e.Channel), masterKey()...))
	text, ok := secretbox.Open(nil, box.Ciphertext, (*[24]byte)(box.Nonce), &key)
	if !ok {
		t.Fatalf("%s does not open", e.Data)
	}
	return string(text)
}

func TestDataLimit(t *testing.T) {
	c, got := sink(t, withKey)
	for _, channel := range []string{"private-x", "private-encrypted-x"} {
		limit := DataLimit(channel)
		if err := c.PublishBatch(t.Context(), []Event{{Channel: channel, Name: "n", Data: bytes.Repeat([]byte("é"), limit/2)}}); err != nil {
			t.Errorf("%s: %v", channel, err)
		}
		size := len((*got)[len(*got)-1].Data)
		// The next larger ciphertext is at most four bytes longer.
		if size >= MaxData || size < MaxData-6 {
			t.Errorf("%s: the largest event has %d bytes on the wire", channel, size)
		}
		err := c.PublishBatch(t.Context(), []Event{{Channel: channel, Name: "n", Data: make([]byte, limit+1)}})
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", channel, err)
		}
	}
}

func TestLimitsAreCheckedBeforeSending(t *testing.T) {
	good := Event{Channel: "private-x", Name: "n", Data: []byte("d")}
	with := func(change func(*Event)) []Event {
		e := good
		change(&e)
		return []Event{good, e}
	}
	for name, tc := range map[string]struct {
		events []Event
		want   error
		index  int // of the rejected event; -1: the batch as such
		class  Class
	}{
		"none":              {nil, ErrNoEvents, -1, Rejected},
		"eleven":            {slices.Repeat([]Event{good}, 11), ErrTooMany, -1, Rejected},
		"no channel":        {with(func(e *Event) { e.Channel = "" }), ErrChannel, 1, Rejected},
		"channel of 165":    {with(func(e *Event) { e.Channel = strings.Repeat("x", 165) }), ErrChannel, 1, Rejected},
		"user's channel":    {with(func(e *Event) { e.Channel = "#server-to-user-1" }), ErrChannel, 1, Rejected},
		"no name":           {with(func(e *Event) { e.Name = "" }), ErrEventName, 1, Rejected},
		"name of 201":       {with(func(e *Event) { e.Name = strings.Repeat("x", 201) }), ErrEventName, 1, Rejected},
		"reserved":          {with(func(e *Event) { e.Name = "pusher:x" }), ErrEventName, 1, Rejected},
		"internal":          {with(func(e *Event) { e.Name = "pusher_internal:x" }), ErrEventName, 1, Rejected},
		"10,000 bytes":      {with(func(e *Event) { e.Data = make([]byte, 10_000) }), ErrTooLarge, 1, Rejected},
		"not UTF-8":         {with(func(e *Event) { e.Data = []byte("\xff") }), ErrNotText, 1, Rejected},
		"no key to encrypt": {with(func(e *Event) { e.Channel = "private-encrypted-x" }), ErrNoEncryptionKey, 1, Credentials},
	} {
		c, got := sink(t, func(c *Config) { c.EncryptionKey = "" })
		err := c.PublishBatch(t.Context(), tc.events)
		if !errors.Is(err, tc.want) || Classify(err) != tc.class {
			t.Errorf("%s: %v (%v), want %v (%v)", name, err, Classify(err), tc.want, tc.class)
		}
		var rejected *EventError
		if errors.As(err, &rejected) != (tc.index >= 0) || rejected != nil && rejected.Index != tc.index {
			t.Errorf("%s: %#v, want index %d", name, rejected, tc.index)
		}
		if len(*got) != 0 {
			t.Errorf("%s: %d events were sent all the same", name, len(*got))
		}
	}
	c, _ := sink(t)
	if err := c.TerminateUser(t.Context(), "a/../b"); !errors.Is(err, ErrUser) {
		t.Errorf("terminate: %v", err)
	}
}

func BenchmarkAuthorizePrivate(b *testing.B) {
	_, c := loadVectors(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.AuthorizePrivate("1234.1234", "private-room-6f1e4c5e-0000-4000-8000-000000000001"); err != nil {
			b.Fatal(err)
		}
	}
}
