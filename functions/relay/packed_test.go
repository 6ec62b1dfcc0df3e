package relay

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/pusher"
	"roomcast/shared/pusher/pushertest"
)

// unpacked is what subscribers make of what Pusher accepted.
func unpacked(t *testing.T, all []pushertest.Accepted) (out []pushertest.Accepted) {
	t.Helper()
	for _, a := range all {
		if a.Name != event.Pack {
			out = append(out, a)
			continue
		}
		events, err := event.Unpack([]byte(a.Data))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			a.Name, a.Data = e.Name, string(e.Data)
			out = append(out, a)
		}
	}
	return out
}

// waitUnpacked waits until n different events were accepted, packed or not. Each is
// looked at once: what is accepted stays as it is.
func (s *stack) waitUnpacked(n int) (raw, out []pushertest.Accepted) {
	s.Helper()
	looked, seen := 0, map[string]bool{}
	raw = s.wait(fmt.Sprint(n, " events"), func(all []pushertest.Accepted) bool {
		for _, a := range unpacked(s.T, all[looked:]) {
			seen[fmt.Sprint(a.Channel, parse(s.T, a).Roomcast.Seq)] = true
		}
		looked = len(all)
		return len(seen) >= n
	})
	return raw, unpacked(s.T, raw)
}

// of keeps one channel's.
func of(all []pushertest.Accepted, channel string) (out []pushertest.Accepted) {
	for _, a := range all {
		if a.Channel == channel {
			out = append(out, a)
		}
	}
	return out
}

// says is name and data of each.
func says(all []pushertest.Accepted) (out []string) {
	for _, a := range all {
		out = append(out, a.Name+" "+a.Data)
	}
	return out
}

// counts is an Observer of what Pusher and the rows are counted by.
type counts struct {
	Unobserved
	published, delivered, parked atomic.Int64
}

func (c *counts) Published(events int, _ time.Duration, class pusher.Class) {
	if class == pusher.Accepted {
		c.published.Add(int64(events))
	}
}
func (c *counts) Delivered(time.Duration) { c.delivered.Add(1) }
func (c *counts) Parked(string)           { c.parked.Add(1) }

// With every kind of channel at once: only the packed one has packs, which hold what
// the others have, to the byte and in order. A row alone is the same on all.
func TestPackedBesideEveryKind(t *testing.T) {
	s := newStack(t)
	master := strings.Repeat("k", 32)
	client := s.client(func(c *pusher.Config) { c.EncryptionKey = base64.StdEncoding.EncodeToString([]byte(master)) })
	for i := range 60 {
		s.insert(roomA, strings.Repeat("x", i*40))
	}
	s.insert(roomA, strings.Repeat("large ", 3000)) // a stub
	s.insert(roomB, "alone")
	seen := &counts{}
	s.relay("r", func(c *Config) {
		c.Publisher, c.Observer = client, seen
		c.Channels = []event.ChannelKind{event.Private, event.Presence, event.Packed, event.Encrypted, event.Public}
	})
	raw, all := s.waitUnpacked(62*3 + 2) // sealed ones have no seq to read: one a channel
	for _, a := range raw {
		if a.Name == event.Pack && a.Channel != "private-packed-room-"+roomA {
			t.Errorf("a pack on %s", a.Channel)
		}
		if len(a.Data) > pusher.DataLimit(a.Channel) {
			t.Errorf("%d bytes on %s", len(a.Data), a.Channel)
		}
	}
	for _, room := range []string{roomA, roomB} {
		want := says(of(all, "private-room-"+room))
		if got := of(all, "presence-room-"+room); len(got) > 0 {
			t.Errorf("presence carries %d events that other channels of the members have", len(got))
		}
		for _, channel := range []string{"private-packed-room-", "room-"} {
			if got := says(of(all, channel+room)); !slices.Equal(got, want) {
				t.Errorf("%s has %d events, not the %d of the private channel", channel+room, len(got), len(want))
			}
		}
		last := int64(0)
		for _, a := range of(all, "private-encrypted-room-"+room) {
			seq := open(t, master, a).Roomcast.Seq
			if seq > last+1 { // a lower one is a repeat
				t.Errorf("sealed event %d comes after %d", seq, last)
			}
			last = max(last, seq)
		}
		if last == 0 {
			t.Errorf("no sealed event of room %s", room)
		}
	}
	if n := len(of(raw, "private-packed-room-"+roomA)); n >= 61 {
		t.Errorf("61 rows that waited together are %d events", n)
	}
	if got := of(raw, "private-packed-room-"+roomB); len(got) != 1 || got[0].Name != event.NewMessage {
		t.Errorf("a row alone is %v", says(got))
	}
	s.until("all is delivered", func() bool { return seen.delivered.Load() == 62 })
	if n := seen.published.Load(); n != int64(len(s.pusher.Events())) {
		t.Errorf("counted %d events, pusher %d", n, len(s.pusher.Events()))
	}
}

// The hot room's backlog is a few calls: what is counted and billed are packs.
func TestPackedNeedsFewCalls(t *testing.T) {
	s := newStack(t)
	s.exec(`update roomcast.settings set bulk = 100000`) // row by row
	s.exec(`insert into messages (room_id, content) select $1, 'a message of usual length, more or less ' || i from generate_series(1, 500) i`, roomA)
	s.relay("r", func(c *Config) { c.Channels = []event.ChannelKind{event.Packed} })
	raw, all := s.waitUnpacked(500)
	wantInOrder(t, all)
	if calls := raw[len(raw)-1].Request; len(raw) > 25 || calls > 4 {
		t.Errorf("500 rows in %d events and %d calls", len(raw), calls)
	}
}

// Only the rooms that are named have packed channels; the rest are heard as before,
// on a private one if there would be no other.
func TestPackedRooms(t *testing.T) {
	for _, tc := range []struct {
		name  string
		kinds []event.ChannelKind
		want  []string
	}{
		{"beside", []event.ChannelKind{event.Private, event.Packed}, []string{"private-packed-room-" + roomA, "private-room-" + roomA, "private-room-" + roomB}},
		{"in place", []event.ChannelKind{event.Packed}, []string{"private-packed-room-" + roomA, "private-room-" + roomB}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStack(t)
			for i := range 20 {
				s.insert([]string{roomA, roomB}[i%2], fmt.Sprint(i))
			}
			s.relay("r", func(c *Config) { c.Channels, c.PackedRooms = tc.kinds, []string{roomA} })
			_, all := s.waitUnpacked(10 * len(tc.want))
			wantInOrder(t, all)
			for _, channel := range tc.want {
				if n := len(of(all, channel)); n != 10 {
					t.Errorf("%s has %d events, want 10", channel, n)
				}
			}
			if len(all) != 10*len(tc.want) {
				t.Errorf("%d events, also on other channels", len(all))
			}
		})
	}
}

// refusing is a Pusher that refuses any call with a word in it.
type refusing struct {
	Publisher
	status int
	calls  atomic.Int64
}

// PublishBatch refuses, or passes on.
func (r *refusing) PublishBatch(ctx context.Context, events []pusher.Event) error {
	r.calls.Add(1)
	for _, e := range events {
		if strings.Contains(string(e.Data), "poison") {
			return &pusher.Error{Op: "publish batch", Status: r.status}
		}
	}
	return r.Publisher.PublishBatch(ctx, events)
}

// A row that Pusher refuses is found inside its pack: it alone is parked, and the
// others arrive in order.
func TestOnlyTheRejectedRowOfAPackIsParked(t *testing.T) {
	for _, status := range []int{400, 413} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s := newStack(t)
			var want []string
			for i := range 60 {
				content := fmt.Sprint("message ", i)
				if i == 17 || i == 41 {
					content = "poison"
				} else {
					want = append(want, content)
				}
				s.insert(roomA, content)
			}
			seen, wall := &counts{}, &refusing{status: status}
			s.relay("r", func(c *Config) {
				wall.Publisher = c.Publisher
				c.Channels, c.Observer, c.Publisher = []event.ChannelKind{event.Packed}, seen, wall
			})
			_, all := s.waitUnpacked(58)
			if got := contents(t, all); !slices.Equal(got, want) {
				t.Errorf("arrived: %q", got)
			}
			s.until("the room is through", func() bool {
				return query[int](s, `select count(*) from roomcast.rooms where sent_seq < head_seq`) == 0
			})
			if seqs := query[string](s, `select string_agg(seq::text, ',' order by seq) from roomcast.parked`); seqs != "18,42" || seen.parked.Load() != 2 {
				t.Errorf("parked are %s, counted %d", seqs, seen.parked.Load())
			}
			if n := wall.calls.Load(); n > 25 { // two halvings of sixty
				t.Errorf("%d calls", n)
			}
		})
	}
}

// A row that cannot be sent is passed over in its place, between packs.
func TestRejectedRowBetweenPacks(t *testing.T) {
	s := newStack(t)
	for i := range 30 {
		s.insert(roomA, fmt.Sprint(i))
	}
	s.exec(`update roomcast.outbox set record = '[]' where id = (select id from roomcast.outbox order by id offset 12 limit 1)`)
	s.relay("r", func(c *Config) { c.Channels = []event.ChannelKind{event.Packed} })
	_, all := s.waitUnpacked(29)
	for i, a := range all {
		want := i + 1
		if i >= 12 {
			want++
		}
		if seq := parse(t, a).Roomcast.Seq; seq != int64(want) {
			t.Fatalf("event %d has seq %d, want %d", i, seq, want)
		}
	}
	s.until("it is parked", func() bool { return query[int](s, `select count(*) from roomcast.parked where seq = 13`) == 1 })
}

// Two relays, writers, and a Pusher that fails before and after it accepts: nothing is
// lost or out of order, and each repeat is the same event, whatever its company.
func TestPackedUnderFaults(t *testing.T) {
	const messages, rooms, writers = 4000, 3, 4
	s := newStack(t)
	for _, fault := range []pushertest.Fault{
		{Status: 500, Skip: 3, Times: 2}, {ResetAfterAccept: true, Skip: 10, Times: 4}, {Reset: true, Skip: 20, Times: 2},
		// An event that is refused alone would be parked, and never come.
		{Status: 400, Skip: 31, Times: 1, Match: func(r *http.Request) bool { return r.ContentLength > 2000 }},
	} {
		s.pusher.Inject(fault)
	}
	packed := func(c *Config) {
		c.Channels = []event.ChannelKind{event.Packed}
		c.Claim.PerRoom = 60 // several claims to a room
	}
	one, two := s.relay("one", packed), s.relay("two", packed)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < messages; i += writers {
				room := []string{roomA, roomB, roomC}[i%rooms]
				if _, err := s.pool.Exec(t.Context(), `insert into messages (room_id, content) values ($1, $2)`, room, fmt.Sprint("m", i)); err != nil {
					t.Error(err)
					return
				}
				one.Wake()
				two.Wake()
			}
		})
	}
	wg.Wait()
	raw, all := s.waitUnpacked(messages)
	wantInOrder(t, all)
	if n := len(firsts(t, all)); n != messages || len(all) == n {
		t.Errorf("%d of %d messages arrived, %d repeats, want some", n, messages, len(all)-n)
	}
	t.Logf("%d Pusher events for %d messages", len(raw), messages)
}
