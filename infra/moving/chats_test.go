package moving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/supabase"
)

// Each folder of chats is a chat of a shape that public ones have: schema.sql as its team
// wrote it, move.sql the guide's lines, steps.sql what its users do and what must come of
// it. Behind a statement stand the events that it gives, of any order, and no others:
//
//	-- => room KEY: name {"a":"subset of the data"}
//	-- => user UUID: name
//	-- may USER ROOM {"claims":"…"}: yes
func TestChats(t *testing.T) {
	dirs, err := filepath.Glob("chats/*")
	if err != nil || len(dirs) < 6 {
		t.Fatalf("%d chats, %v", len(dirs), err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) { runChat(t, dir) })
	}
}

func runChat(t *testing.T, dir string) {
	c := newChat(t)
	c.exec(read(t, dir, "schema.sql"))
	c.exec(read(t, dir, "move.sql"))
	steps := parseSteps(t, read(t, dir, "steps.sql"))
	for _, s := range steps {
		c.exec(s.sql)
		want := slices.Clone(s.events)
		for _, got := range c.events() {
			i := slices.IndexFunc(want, func(w heard) bool { return w.covers(got) })
			if i < 0 {
				t.Errorf("%s\ngave %s: %s %s, which is not expected", s.sql, got.stream, got.name, got.data)
				continue
			}
			want = slices.Delete(want, i, i+1)
		}
		for _, w := range want {
			t.Errorf("%s\ndid not give %s: %s %s", s.sql, w.stream, w.name, w.data)
		}
		for _, q := range s.questions {
			if got := c.may(q); got != q.yes {
				t.Errorf("%s\ncan_read(%q, %s, %s) is %v", s.sql, q.room, q.user, q.claims, got)
			}
		}
	}
	var unroutable int
	if err := c.conn.QueryRow(t.Context(), `select count(*) from roomcast.unroutable`).Scan(&unroutable); err != nil || unroutable > 0 {
		t.Errorf("%d changes could not be routed, %v", unroutable, err)
	}
}

// heard is an event of a stream, or what one must have at least.
type heard struct {
	stream, name string
	data         json.RawMessage
}

// covers: has got all that h names?
func (h heard) covers(got heard) bool {
	if h.stream != got.stream || h.name != got.name {
		return false
	}
	return len(h.data) == 0 || subset(decode(h.data), decode(got.data))
}

func decode(data json.RawMessage) (v any) {
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return err
	}
	return v
}

func subset(want, got any) bool {
	object, ok := want.(map[string]any)
	if !ok {
		return reflect.DeepEqual(want, got)
	}
	has, ok := got.(map[string]any)
	for key, value := range object {
		if !ok || !subset(value, has[key]) {
			return false
		}
	}
	return ok
}

type question struct {
	user, room, claims string
	yes                bool
}

type step struct {
	sql       string
	events    []heard
	questions []question
}

func parseSteps(t *testing.T, text string) (steps []step) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		last := len(steps) - 1
		switch note, isNote := strings.CutPrefix(line, "-- "); {
		case !isNote && line != "":
			steps = append(steps, step{sql: line})
		case strings.HasPrefix(note, "=> "):
			steps[last].events = append(steps[last].events, parseHeard(t, note))
		case strings.HasPrefix(note, "may "):
			steps[last].questions = append(steps[last].questions, parseQuestion(t, note))
		case line != "":
			t.Fatalf("cannot read %q", line)
		}
	}
	return steps
}

func parseHeard(t *testing.T, note string) heard {
	t.Helper()
	stream, rest, ok := strings.Cut(strings.TrimPrefix(note, "=> "), ": ")
	name, data, _ := strings.Cut(rest, " ")
	if !ok || (data != "" && !json.Valid([]byte(data))) {
		t.Fatalf("cannot read %q", note)
	}
	return heard{stream, name, json.RawMessage(data)}
}

func parseQuestion(t *testing.T, note string) question {
	t.Helper()
	i := strings.LastIndex(note, ": ")
	words := strings.SplitN(note[:i], " ", 4)
	q := question{user: words[1], room: words[2], claims: "{}", yes: note[i+2:] == "yes"}
	if len(words) == 4 {
		q.claims = words[3]
	}
	return q
}

// chatDatabase is a database with a chat in it, and a relay's view of it.
type chatDatabase struct {
	*testing.T
	url  string
	conn *pgx.Conn
	db   *outbox.DB
}

func newChat(t *testing.T) *chatDatabase {
	t.Helper()
	c := &chatDatabase{T: t, url: outboxtest.DatabaseFrom(t, "supabase", func(ctx context.Context, url string) error {
		return errors.Join(supabase.Install(ctx, url), admin.Migrate(ctx, url))
	})}
	c.conn, c.db = outboxtest.Connect(t, c.url), outboxtest.Open(t, c.url)
	return c
}

func (c *chatDatabase) exec(sql string) {
	c.Helper()
	if err := outboxtest.Exec(c.Context(), c.url, sql); err != nil {
		c.Fatalf("%s\n%v", sql, err)
	}
}

// events claims what waits, and says what browsers would hear.
func (c *chatDatabase) events() (list []heard) {
	c.Helper()
	for {
		rooms, err := c.db.Claim(c.Context(), "test", outbox.Limits{Rows: 1000, PerRoom: 1000, Lease: time.Minute})
		if err != nil {
			c.Fatal(err)
		}
		if len(rooms) == 0 {
			return list
		}
		var acks []outbox.Ack
		for _, room := range rooms {
			for _, row := range room.Rows {
				e, err := event.Translate(row.Change, 0)
				if err != nil {
					c.Fatal(err)
				}
				list = append(list, heard{streamOf(c.T, room.ID), e.Name, e.Data})
			}
			acks = append(acks, outbox.Ack{Room: room.ID, Fence: room.Fence, Seq: room.Rows[len(room.Rows)-1].Seq})
		}
		if _, err := c.db.Ack(c.Context(), acks); err != nil {
			c.Fatal(err)
		}
	}
}

func streamOf(t *testing.T, key string) string {
	t.Helper()
	kind, id, err := event.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if kind == event.UserStream {
		return "user " + id
	}
	return "room " + id
}

func (c *chatDatabase) may(q question) (yes bool) {
	c.Helper()
	if err := c.conn.QueryRow(c.Context(), `select roomcast.may_read($1, $2, $3)`, q.room, q.user, q.claims).Scan(&yes); err != nil {
		c.Fatal(err)
	}
	return yes
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What the guide prints of attach and send stands in a chat, where it is run.
func TestGuideIsInChats(t *testing.T) {
	files, err := filepath.Glob("chats/*/move.sql")
	if err != nil {
		t.Fatal(err)
	}
	var tested strings.Builder
	for _, file := range files {
		fmt.Fprintln(&tested, flat(read(t, ".", file)))
	}
	n := 0
	for _, m := range fence.FindAllStringSubmatch(whatAChatHas(t), -1) {
		if m[1] != "sql" {
			continue
		}
		n++
		if !strings.Contains(tested.String(), flat(m[2])) && !strings.Contains(m[2], "public.room_participants") {
			t.Errorf("no chat runs\n%s", m[2])
		}
	}
	if n < 8 {
		t.Errorf("only %d blocks", n)
	}
}

// whatAChatHas is that section of the guide.
func whatAChatHas(t *testing.T) string {
	t.Helper()
	_, section, ok := strings.Cut(guideText(t), "\n## What a chat has\n")
	if !ok {
		t.Fatal("the guide has no such section")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

func flat(sql string) string { return strings.Join(strings.Fields(sql), " ") }
