package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roomcast/infra/secretsfile"
	"roomcast/infra/terminal"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher"
	"roomcast/shared/pusher/pushertest"
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

func TestStatus(t *testing.T) {
	p := newInstallation(t)
	p.want(exitOK, `
relay        asleep: the next row wakes it
waiting      nothing
oldest       -
in flight    nothing
parked       none
rate         0.0 rows/s written over the last minute
kept         SIZE, the oldest TIME old`, "status")

	p.write(roomB, 3)
	held := p.claim("relay-1")[roomB]
	p.ack(held, 1, time.Hour)
	p.write(roomA, 2)
	p.claim("relay-2")
	p.write(roomA, 1)
	p.exec(`insert into roomcast.parked values ('x', 1, 1, 'why'); select roomcast.stay_awake('10 s')`)
	p.want(exitOK, `
relay        awake, for another TIME unless renewed
waiting      5 rows in 2 rooms, 1 not yet numbered
oldest       TIME
in flight    2 rows of 1 room, held by relay-2 (1)
resting      1 room after failures, the next try in TIME
parked       1 event given up: ops redrive -parked -dry-run lists them
rate         0.1 rows/s written over the last minute
kept         SIZE, the oldest TIME old`, "status")

	_, out, _ := p.ops("status", "-json")
	var got statusJSON
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if got.Waiting != 5 || got.InFlight != 2 || got.RestingRooms != 1 || got.Parked != 1 || !got.Awake || got.OldestSeconds <= 0 || got.Holders["relay-2"] != 1 {
		t.Errorf("status -json: %s", out)
	}
}

// Rows that no relay has numbered yet are written rows all the same.
func TestStatusCountsWhatIsNotNumbered(t *testing.T) {
	p := newInstallation(t)
	p.exec(`insert into messages (room_id, content) select $1, 'x' from generate_series(1, 60)`, roomA)
	p.exec(`select roomcast.configure(pusher_app => '42')`)
	_, out, _ := p.ops("status")
	for _, want := range []string{"60 rows, 60 not yet numbered", "1.0 rows/s written", "belongs to Pusher app 42"} {
		if !strings.Contains(out, want) {
			t.Errorf("status does not say %q:\n%s", want, out)
		}
	}
}

// With -watch it polls, and says how many rows were sent meanwhile.
func TestStatusWatch(t *testing.T) {
	p := newInstallation(t)
	p.write(roomA, 7)
	room := p.claim("relay-1")[roomA]
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	reader, writer := io.Pipe()
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"status", "-watch", "-every", "100ms", "-json"}, p.environment(), writer, io.Discard)
		writer.Close()
	}()
	polls := json.NewDecoder(reader)
	var first, next statusJSON
	if err := polls.Decode(&first); err != nil || first.Waiting != 7 || first.SentPerSec != nil {
		t.Fatalf("the first poll: %+v, %v", first, err)
	}
	p.ack(room, 7, 0)
	for next.SentPerSec == nil || *next.SentPerSec <= 0 {
		if err := polls.Decode(&next); err != nil {
			t.Fatalf("no poll saw the rows go: %+v, %v", next, err)
		}
	}
	if next.Waiting != 0 {
		t.Errorf("after the rows were sent: %+v", next)
	}
	cancel()
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	if code := <-done; code != exitOK {
		t.Errorf("interrupted, it exits with %d", code)
	}
}

func TestInspect(t *testing.T) {
	p := newInstallation(t)
	p.want(exitWarning, "nothing in room "+roomA+" has been numbered yet: no relay has claimed a row of it, or there never was one", "inspect", roomA)
	p.park()
	p.write(roomA, 1)
	p.want(exitOK, `
room         `+roomA+`
channel      private-room-`+roomA+`
seq          2 of 3 sent, epoch EPOCH, kept from 1 on
waiting      1 row, and 1 not yet numbered
lease        nobody's: due since TIME, and the relay sleeps (fence 1)
parked       seq 2: pusher answered 413

       1  sent     INSERT  DATE  SIZE  {"id": "ID", "room_id": "`+roomA+`"}
       2  parked   INSERT  DATE  SIZE  {"id": "ID", "room_id": "`+roomA+`"}
       3  waiting  INSERT  DATE  SIZE  {"id": "ID", "room_id": "`+roomA+`"}`, "inspect", roomA)
	p.claim("relay-1")
	_, out, _ := p.ops("inspect", roomA, "-json")
	var got roomView
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Head != 4 || got.Holder != "relay-1" || got.DueSeconds < 50 ||
		len(got.Events) != 4 || got.Events[1].Verdict != isParked || got.Events[3].Verdict != isWaiting || got.Parked[0].Seq != 2 {
		t.Errorf("inspect -json: %s (%v)", out, err)
	}
}

func TestWhy(t *testing.T) {
	p := newInstallation(t)
	id := p.write(roomA, 1)
	keys := `{"id": "ID", "room_id": "` + roomA + `"}`
	p.want(exitOK, `
not numbered yet (waiting) of room `+roomA+`
written      DATE UTC: INSERT on messages, `+keys+`, SIZE
waiting      the relay sleeps; a wake-up is on its way; if it is lost, the next sweep sends another`, "why", id)

	p.write(roomA, 2)
	r := p.claim("relay-1")[roomA]
	p.want(exitOK, `
seq 3 (waiting) of room `+roomA+`
written      DATE UTC: INSERT on messages, `+keys+`, SIZE
numbered     TIME later, under epoch EPOCH
waiting      the room is held by relay-1 for another TIME
behind       2 events, the first is seq 1: ops why `+roomA+` 1`, "why", roomA, "3")

	p.ack(r, 1, time.Hour)
	p.want(exitOK, `
seq 2 (waiting) of room `+roomA+`
written      DATE UTC: INSERT on messages, `+keys+`, SIZE
numbered     TIME later, under epoch EPOCH
waiting      the room is nobody's: it rests after a failure, the next try is in TIME`, "why", roomA, "2")
	p.want(exitOK, `
seq 1 (accepted) of room `+roomA+`
written      DATE UTC: INSERT on messages, `+keys+`, SIZE
numbered     TIME later, under epoch EPOCH
accepted     DATE UTC by Pusher, TIME after it was written
kept         for another TIME, for browsers that catch up`, "why", id)
	p.want(exitWarning, "room "+roomA+" has numbered up to seq 3, and keeps them from 1 on: older ones were sent and are past the retention", "why", roomA, "4")
	p.want(exitFailed, `ops: SEQ must be a number from 1 on, not "x"`, "why", roomA, "x")
}

func TestWhyParkedAndDeleted(t *testing.T) {
	p := newInstallation(t)
	p.park()
	p.exec(`delete from roomcast.outbox where id = roomcast.at_seq($1, 1)`, roomA)
	p.want(exitOK, `
seq 2 (parked) of room `+roomA+`
written      DATE UTC: INSERT on messages, {"id": "ID", "room_id": "`+roomA+`"}, SIZE
numbered     TIME later, under epoch EPOCH
parked       DATE UTC: pusher answered 413
so           browsers see the gap and fetch it over HTTP; ops redrive `+roomA+` 2 sends it once more`, "why", roomA, "2")
	_, out, _ := p.ops("why", roomA, "1")
	if !strings.Contains(out, "seq 1 (deleted by hand)") || !strings.Contains(out, "passed over") {
		t.Errorf("why of a row deleted by hand:\n%s", out)
	}
}

// An event that left no trace is explained by the row itself.
func TestWhyNoTrace(t *testing.T) {
	p := newInstallation(t)
	quiet := one[string](p, `insert into messages (content) values ($1) returning id::text`, text)
	p.exec(`set roomcast.capture = 'off'`)
	unseen := p.write(roomA, 1)
	for id, want := range map[string]string{
		quiet:  "its room is null",
		unseen: "with roomcast.capture off",
		roomB:  "no attached table has a row",
	} {
		if code, out, _ := p.ops("why", id); code != exitWarning || !strings.Contains(out, want) {
			t.Errorf("why %s: exit %d, want %q:\n%s", id, code, want, out)
		}
	}
}

func TestRedriveParked(t *testing.T) {
	p := newInstallation(t)
	r := p.park()
	p.want(exitOK, "  "+roomA+"  seq 2  INSERT  parked: pusher answered 413\nwould send 1 event again, under their seq", "redrive", "-parked", "-dry-run")
	if n := len(p.pusher.Events()); n != 0 {
		t.Fatalf("the dry run sent %d events", n)
	}
	p.want(exitOK, "sent 1 of 1 event again, under their seq", "redrive", "-parked")

	// It is the very event that the relay would have sent, and the room has not moved.
	first, err := pusher.Events(r.Rows[1].Change, []event.ChannelKind{event.Private}, 9999)
	if err != nil {
		t.Fatal(err)
	}
	sent := p.pusher.Events()
	if len(sent) != 1 || sent[0].Data != string(first[0].Data) || sent[0].Channel != first[0].Channel || sent[0].Name != first[0].Name {
		t.Errorf("redriven as %+v, want %+v", sent, first)
	}
	if seq := one[int64](p, `select sent_seq from roomcast.rooms`); seq != 2 {
		t.Errorf("sent_seq moved to %d", seq)
	}
	if n := one[int](p, `select count(*) from roomcast.parked`); n != 0 {
		t.Errorf("%d events are still parked", n)
	}
	p.want(exitWarning, "nothing to send again: what is asked for is waiting still, is past the retention, or never was", "redrive", "-parked")
}

// A range goes out in order, in batches, and stops before what the relay has still
// to send for the first time.
func TestRedriveRange(t *testing.T) {
	p := newInstallation(t)
	p.write(roomA, 28)
	r := p.claim("relay-1")[roomA]
	p.ack(r, 25, time.Hour)
	p.want(exitOK, "sent 24 of 24 events again, under their seq", "redrive", roomA, "2", "100")
	for i, a := range p.pusher.Events() {
		if seq := seqOf(t, a); seq != int64(i+2) {
			t.Errorf("event %d has seq %d", i, seq)
		}
	}
	if n := p.pusher.Stats().Requests; n != 3 {
		t.Errorf("24 events took %d requests, want 3", n)
	}
}

func seqOf(t *testing.T, a pushertest.Accepted) int64 {
	t.Helper()
	var data struct{ Roomcast struct{ Seq int64 } }
	if err := json.Unmarshal([]byte(a.Data), &data); err != nil {
		t.Fatal(err)
	}
	return data.Roomcast.Seq
}

// What Pusher refuses stays parked and holds up nothing; a failing Pusher ends the
// run, which says where to go on.
func TestRedriveFails(t *testing.T) {
	p := newInstallation(t)
	p.park()
	refusing := p.pusher.Inject(pushertest.Fault{Channel: "private-room-" + roomA, Status: 413})
	code, out, _ := p.ops("redrive", roomA, "2")
	if code != exitWarning || !strings.Contains(out, "refused: ") || !strings.Contains(out, "sent 0 of 1") {
		t.Errorf("refused: exit %d\n%s", code, out)
	}
	if n := one[int](p, `select count(*) from roomcast.parked`); n != 1 {
		t.Errorf("%d events are parked, want 1", n)
	}
	refusing.Remove()
	p.pusher.Inject(pushertest.Fault{Status: 503})
	code, _, problems := p.ops("redrive", roomA, "1", "2")
	if code != exitFailed || !strings.Contains(problems, "stopped at room "+roomA+" seq 1") || !strings.Contains(problems, "503") {
		t.Errorf("failing: exit %d\n%s", code, problems)
	}
	p.pusher.Clear()
	p.want(exitOK, "sent 2 of 2 events again, under their seq", "redrive", roomA, "1", "2")
}

// Several channels, and one rejected event among good ones.
func TestRedriveFindsTheRejected(t *testing.T) {
	p := newInstallation(t)
	p.RoomChannels = []string{"private", "presence"}
	p.write(roomA, 4)
	p.ack(p.claim("relay-1")[roomA], 4, 0)
	p.pusher.Inject(pushertest.Fault{Status: 400, Times: 2}) // the batch of four, and that of two
	_, out, _ := p.ops("redrive", roomA, "1", "4", "-json")
	var got redriven
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Sent != 4 || len(got.Events) != 4 || len(got.Refused) != 0 {
		t.Errorf("redrive -json: %s (%v)", out, err)
	}
	if n := len(p.pusher.Events()); n != 8 {
		t.Errorf("%d events for two channels, want 8", n)
	}
}

// Each room is sent again, and shown, on the channels it has.
func TestRedrivePackedRooms(t *testing.T) {
	p := newInstallation(t)
	p.RoomChannels, p.PackedRooms = []string{"packed"}, []string{roomA}
	for room, channel := range map[string]string{roomA: "private-packed-room-" + roomA, roomB: "private-room-" + roomB} {
		p.write(room, 2)
		p.ack(p.claim("relay-1")[room], 2, 0)
		before := len(p.pusher.Events())
		p.want(exitOK, "sent 2 of 2 events again, under their seq", "redrive", room, "1", "2")
		sent := p.pusher.Events()[before:]
		if len(sent) != 2 || sent[0].Channel != channel || sent[1].Channel != channel || sent[0].Name != event.NewMessage {
			t.Errorf("room %s is sent again as %+v", room, sent)
		}
		if _, out, _ := p.ops("inspect", room); !strings.Contains(out, " "+channel+"\n") {
			t.Errorf("inspect does not show %s:\n%s", channel, out)
		}
	}
}

func TestSkipCommand(t *testing.T) {
	p := newInstallation(t)
	p.write(roomA, 3)
	p.claim("relay-1")
	line := "       1  waiting  INSERT  DATE  SIZE  {\"id\": \"ID\", \"room_id\": \"" + roomA + "\"}\n"
	p.want(exitOK, line+"would park seq 1 of room "+roomA+"; 2 events behind it would go on. The room is held by relay-1 for another TIME",
		"skip", roomA, "1", "-reason", "it hangs", "-dry-run")
	if n := one[int](p, `select count(*) from roomcast.parked`); n != 0 {
		t.Fatal("the dry run parked something")
	}
	p.want(exitFailed, "ops: room "+roomA+" is not stuck at seq 2: 0 of 3 are sent", "skip", roomA, "2", "-reason", "x")
	p.want(exitOK, line+"parked seq 1 of room "+roomA+"; 2 events behind it go on. ops redrive "+roomA+" 1 sends it once more",
		"skip", roomA, "1", "-reason", "it hangs")
	if got := one[string](p, `select reason || ' ' || sent_seq from roomcast.parked join roomcast.rooms using (room)`); got != "skipped by hand: it hangs 1" {
		t.Errorf("parked: %s", got)
	}
	if code, _, _ := p.ops("skip", roomA, "2"); code != exitFailed {
		t.Errorf("skip without a reason: exit %d", code)
	}
}

// Room ids are chat users' text: none of it reaches a terminal as it is.
func TestHostileRoomIDs(t *testing.T) {
	p := newInstallation(t)
	p.exec(`alter table messages drop constraint if exists messages_room_id_fkey; alter table messages alter room_id type text`)
	p.exec(`select roomcast.attach_messages('messages')`)
	const evil = "\x1b]0;owned\a\u202etxt\u009b31m\nok   all good"
	id := p.write(evil, 1)
	r := p.claim("relay-1")[evil]
	for _, args := range [][]string{{"inspect", evil}, {"why", evil, "1"}, {"why", id}, {"why", evil, "7"}, {"why", evil + "?"}, {"skip", evil, "9", "-reason", "x"},
		{"skip", evil, "1", "-reason", evil, "-dry-run"}, {"inspect", evil, "-json"}, {"why", id, "-json"}} {
		p.harmless(args...)
	}
	p.ack(r, 1, 0)
	p.harmless("redrive", evil, "1", "-dry-run")
	p.exec(`insert into roomcast.parked values ($1, 1, 1, $1)`, evil)
	p.harmless("doctor")
	p.harmless("redrive", "-parked", "-dry-run")
}

// harmless runs a command and checks that nothing it prints acts on a terminal.
func (p *installation) harmless(args ...string) {
	p.Helper()
	_, out, problems := p.ops(args...)
	for line := range strings.SplitSeq(out+problems, "\n") {
		if terminal.Clean(line) != line || strings.HasPrefix(line, "ok   all good") {
			p.Errorf("ops %q prints %q", args, line)
		}
	}
	if !strings.Contains(out+problems, "owned") && args[0] != "doctor" {
		p.Errorf("ops %q does not name the room:\n%s%s", args, out, problems)
	}
}

// The file that setup wrote is read as it is, before the environment.
func TestSecretsFile(t *testing.T) {
	p := newInstallation(t)
	path := filepath.Join(t.TempDir(), ".secrets")
	file := secretsfile.File{}
	if err := file.Write(path, map[string]string{"OWNER_DATABASE_URL": p.OwnerURL + "&application_name=of-the-file"}); err != nil {
		t.Fatal(err)
	}
	p.OwnerURL, p.DatabaseURL = "postgres://nobody@127.0.0.1:1/none", ""
	if code, out, problems := p.ops("status", "-secrets", path); code != exitOK || !strings.Contains(out, "waiting") {
		t.Errorf("exit %d: %s%s", code, out, problems)
	}
	if code, _, problems := p.ops("status", "-secrets", path+"-missing"); code != exitFailed || !strings.Contains(problems, "no such file") {
		t.Errorf("a missing file: exit %d: %s", code, problems)
	}
}

func TestMigrate(t *testing.T) {
	p := &installation{T: t}
	p.connect(outboxtest.Database(t))
	code, out, _ := p.ops("migrate", "-dry-run")
	if code != exitOK || !strings.Contains(out, "would apply 001_schema.sql") {
		t.Errorf("migrate -dry-run: exit %d\n%s", code, out)
	}
	if one[bool](p, `select to_regnamespace('roomcast') is not null`) {
		t.Fatal("the dry run installed something")
	}
	if code, out, _ := p.ops("migrate"); code != exitOK || !strings.Contains(out, "applied 001_schema.sql") {
		t.Errorf("migrate: exit %d\n%s", code, out)
	}
	p.want(exitOK, "up to date", "migrate")
	p.exec(`create or replace function roomcast.may_sleep() returns boolean language sql as 'select true'`)
	p.want(exitOK, "applied 1 changed function: may_sleep", "migrate")
	p.exec(`insert into roomcast.migrations values (999)`)
	p.want(exitFailed, "ops: the database is newer than this program (version 999): use the program that migrated it", "migrate")
}

func TestDoctorOutput(t *testing.T) {
	p := newInstallation(t)
	code, out, _ := p.ops("doctor")
	if code != exitOK || !strings.HasSuffix(out, fmt.Sprintf("0 failures, 0 warnings, %d checks good\n", strings.Count(out, "ok  "))) {
		t.Errorf("doctor of a healthy one: exit %d\n%s", code, out)
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colours where no terminal reads")
	}
	p.AllowedOrigins = nil
	if code, out, _ := p.ops("doctor"); code != exitWarning || !strings.Contains(out, "WARN  origins        no origin is allowed") ||
		!strings.Contains(out, "\n                     → set ALLOWED_ORIGINS=") {
		t.Errorf("doctor with a warning: exit %d\n%s", code, out)
	}
	p.PusherSecret = "wrong"
	code, out, _ = p.ops("doctor", "-json")
	var got reportJSON
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFailed || got.Status != exitFailed || len(got.Findings) < 20 {
		t.Errorf("doctor -json with a failure: exit %d, %v\n%s", code, err, out)
	}
}

func TestCommandLine(t *testing.T) {
	p := &installation{T: t}
	for _, tc := range []struct {
		args []string
		code int
		say  string
	}{
		{nil, exitFailed, "doctor"},
		{[]string{"help"}, exitOK, "doctor"},
		{[]string{"inspect", "-h"}, exitOK, "inspect ROOM"},
		{[]string{"dance"}, exitFailed, `no command "dance"`},
		{[]string{"inspect"}, exitFailed, "inspect ROOM"},
		{[]string{"status", "-nonsense"}, exitFailed, "nonsense"},
		{[]string{"status"}, exitFailed, "OWNER_DATABASE_URL is missing"},
	} {
		if code, _, problems := p.ops(tc.args...); code != tc.code || !strings.Contains(problems, tc.say) {
			t.Errorf("ops %v: exit %d, want %d and %q\n%s", tc.args, code, tc.code, tc.say, problems)
		}
	}
}

func TestPrinter(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "under 1 ms", 850 * time.Millisecond: "850 ms", -4200 * time.Millisecond: "4.2 s",
		200 * time.Second: "3 min 20 s", 307 * time.Minute: "5 h 7 min", 72 * time.Hour: "3 days",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) is %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -123: "-123"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) is %q, want %q", n, got, want)
		}
	}
	var out strings.Builder
	p := &printer{w: &out, colour: true, nonce: "n"}
	p.line("%s %s", p.bad("x\x1b"), "\x1b[2Jy")
	if got := out.String(); got != "\x1b[1;31mx\\x1b\x1b[0m \\x1b[2Jy\n" {
		t.Errorf("printed as %q", got)
	}
}
