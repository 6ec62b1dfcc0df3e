package main

import (
	"bytes"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"roomcast/shared/outbox"
)

// text is in every message these tests write, and in nothing that ops prints.
const text = "nobody but the room may read this"

// environment is the settings as the environment has them.
func (p *installation) environment() []string {
	return []string{
		"OWNER_DATABASE_URL=" + p.OwnerURL, "DATABASE_URL=" + p.DatabaseURL, "WEBHOOK_SECRET=" + strings.Join(p.WebhookSecrets, ","),
		"PUSHER_APP_ID=" + p.PusherAppID, "PUSHER_KEY=" + p.PusherKey, "PUSHER_SECRET=" + p.PusherSecret,
		"PUSHER_HOST=" + p.PusherHost, "PUSHER_TLS=false", "SUPABASE_URL=" + p.SupabaseURL, "SUPABASE_JWT_SECRET=" + p.JWTSecret, "PUSHER_ENCRYPTION_KEY=" + p.PusherEncryptionKey,
		"ROOM_CHANNELS=" + strings.Join(p.RoomChannels, ","), "PACKED_ROOMS=" + strings.Join(p.PackedRooms, ","), "ALLOWED_ORIGINS=" + strings.Join(p.AllowedOrigins, ","),
	}
}

// ops runs a command as the shell does.
func (p *installation) ops(args ...string) (code int, stdout, stderr string) {
	p.Helper()
	p.function.answerDoctor(args)
	var out, problems bytes.Buffer
	code = run(p.Context(), args, p.environment(), &out, &problems)
	if all := out.String() + problems.String(); strings.Contains(all, text) || strings.Contains(all, password) || strings.Contains(all, secret) {
		p.Errorf("ops %v prints a message's text or a secret:\n%s", args, all)
	}
	return code, out.String(), problems.String()
}

// answerDoctor lets wake-ups find a relay if the doctor asks.
func (f *fakeFunction) answerDoctor(args []string) {
	if f != nil && len(args) > 0 && args[0] == "doctor" {
		f.relays.Store(true)
	}
}

// want runs a command and compares what it prints, times and fences apart.
func (p *installation) want(wantCode int, want string, args ...string) {
	p.Helper()
	code, out, problems := p.ops(args...)
	if code != wantCode {
		p.Errorf("ops %v: exit %d, want %d\n%s%s", args, code, wantCode, out, problems)
	}
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(timeless(out+problems))); diff != "" {
		p.Errorf("ops %v (-want +got):\n%s", args, diff)
	}
}

var varies = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?`), "DATE"},
	{regexp.MustCompile(`under 1 ms|\d+ ms|\d+\.\d s|\d+ min \d+ s|\d+ h \d+ min`), "TIME"},
	{regexp.MustCompile(`epoch \w{8}`), "epoch EPOCH"},
	{regexp.MustCompile(`[\d,]+ (bytes|kB)`), "SIZE"},
	{regexp.MustCompile(`\{"id": "[-0-9a-f]{36}"`), `{"id": "ID"`},
	{regexp.MustCompile(`(?m) +$`), ""},
}

func timeless(s string) string {
	for _, v := range varies {
		s = v.from.ReplaceAllString(s, v.to)
	}
	return s
}

// write commits n messages, each in a transaction of its own, and returns the last id.
func (p *installation) write(room string, n int) (id string) {
	p.Helper()
	for range n {
		id = one[string](p, `insert into messages (room_id, content) values ($1, $2) returning id::text`, room, text)
	}
	return id
}

// claim takes all that waits, as a relay.
func (p *installation) claim(name string) map[string]outbox.Room {
	p.Helper()
	rooms, err := p.outbox().Claim(p.Context(), name, outbox.Limits{Rows: 1000, PerRoom: 1000, Lease: time.Minute})
	if err != nil {
		p.Fatal(err)
	}
	byID := map[string]outbox.Room{}
	for _, r := range rooms {
		byID[r.ID] = r
	}
	return byID
}

func (p *installation) outbox() *outbox.DB {
	p.Helper()
	db, err := outbox.Open(p.OwnerURL, 2)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(db.Close)
	return db
}

func (p *installation) ack(r outbox.Room, seq int64, wait time.Duration) {
	p.Helper()
	if refused, err := p.outbox().Ack(p.Context(), []outbox.Ack{{Room: r.ID, Fence: r.Fence, Seq: seq, Wait: wait}}); err != nil || len(refused) > 0 {
		p.Fatalf("ack: %v, %v", refused, err)
	}
}

// park writes three messages into room A, of which Pusher refused the second.
func (p *installation) park() outbox.Room {
	p.Helper()
	p.write(roomA, 3)
	r := p.claim("relay-1")[roomA]
	if ok, err := p.outbox().Park(p.Context(), roomA, r.Fence, 2, "pusher answered 413"); err != nil || !ok {
		p.Fatal(ok, err)
	}
	p.ack(r, 2, 0)
	return r
}
