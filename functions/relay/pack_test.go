package relay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"roomcast/shared/event"
	"roomcast/shared/pusher"
)

const packedLimit = pusher.MaxData - 1

// packable makes the item of a row with size bytes of data, in a packed channel and
// so many plain ones before it.
func packable(room, size, plain int, seq int64) item {
	data := []byte(`{"content":"` + strings.Repeat("x", max(0, size-len(`{"content":""}`))) + `"}`)
	it := item{room: room, seq: seq, packed: plain}
	for k := range plain {
		it.events = append(it.events, pusher.Event{Channel: fmt.Sprintf("private-room-%d-%d", room, k), Name: event.NewMessage, Data: data})
	}
	it.events = append(it.events, pusher.Event{Channel: fmt.Sprintf("private-packed-room-%d", room), Name: event.NewMessage, Data: data})
	return it
}

// call fills one call with as many of the items as it takes.
func call(items []item) (batch []item) {
	var t tally
	for i := range items {
		if !t.add(&items[i]) {
			break
		}
		batch = append(batch, items[i])
	}
	return batch
}

// sent is what a batch publishes, unpacked, by channel.
func sent(t *testing.T, events []pusher.Event) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, e := range events {
		if len(e.Data) > pusher.DataLimit(e.Channel) {
			t.Errorf("%s: %d bytes, pusher takes %d", e.Channel, len(e.Data), pusher.DataLimit(e.Channel))
		}
		if e.Name != event.Pack {
			out[e.Channel] = append(out[e.Channel], e.Name+string(e.Data))
			continue
		}
		if !strings.HasPrefix(e.Channel, "private-packed-room-") {
			t.Errorf("a pack on %s", e.Channel)
		}
		inside, err := event.Unpack(e.Data)
		if err != nil || len(inside) < 2 {
			t.Errorf("a pack of %d events, %v", len(inside), err)
		}
		for _, one := range inside {
			out[e.Channel] = append(out[e.Channel], one.Name+string(one.Data))
		}
	}
	return out
}

// wantSame checks that events hold the items, each once, in order, to the byte.
func wantSame(t *testing.T, what string, events []pusher.Event, items []item) {
	t.Helper()
	want := map[string][]string{}
	for _, it := range items {
		for _, e := range it.events {
			want[e.Channel] = append(want[e.Channel], e.Name+string(e.Data))
		}
	}
	got := sent(t, events)
	for channel := range want {
		if !slices.Equal(got[channel], want[channel]) {
			t.Errorf("%s: %s has %d events, want %d, or not the same", what, channel, len(got[channel]), len(want[channel]))
		}
	}
	if len(got) != len(want) || len(events) > pusher.MaxBatch {
		t.Errorf("%s: %d channels, want %d; %d events", what, len(got), len(want), len(events))
	}
}

// wantGreedy checks that no two neighbours of a channel would have fitted one event.
func wantGreedy(t *testing.T, events []pusher.Event) {
	t.Helper()
	last := map[string]int{} // bytes, as a pack, of the channel's event before
	for _, e := range events {
		if !strings.HasPrefix(e.Channel, "private-packed-room-") {
			continue
		}
		inside := []event.Event{{Name: e.Name, Data: e.Data}}
		if e.Name == event.Pack {
			inside, _ = event.Unpack(e.Data)
		}
		if before := last[e.Channel]; before > 0 && event.PackSize(before, inside[0].Name, inside[0].Data) <= packedLimit {
			t.Errorf("%s: an event of %d bytes travels apart though the one before has %d", e.Channel, len(inside[0].Data), before)
		}
		size := 0
		for _, one := range inside {
			size = event.PackSize(size, one.Name, one.Data)
		}
		last[e.Channel] = size
	}
}

// Whatever the sizes, what a call has is its rows in order, each within the limit
// and in as few events as order allows; and so is what any part of the call has,
// which is what is sent when the whole was refused.
func FuzzPack(f *testing.F) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 0))
		sizes := make([]byte, random.IntN(300))
		most := []int{2, 10, 130, 256}[seed%4] // small talk, or letters
		for i := range sizes {
			sizes[i] = byte(random.IntN(most))
		}
		f.Add(sizes, uint8(seed%3), uint8(random.IntN(256)))
	}
	f.Fuzz(func(t *testing.T, sizes []byte, plain, cut uint8) {
		var items []item
		for i, b := range sizes {
			it := packable(i/40, min(20+int(b)*41, packedLimit), int(plain%4), int64(i+1))
			if b == 255 { // a row that browsers are not told of
				it.events, it.packed = nil, -1
			}
			items = append(items, it)
		}
		for len(items) > 0 {
			batch := call(items)
			if len(batch) == 0 {
				t.Fatal("a call that takes no row")
			}
			events := appendEvents(nil, batch)
			wantSame(t, "a call", events, batch)
			wantGreedy(t, events)
			if len(batch) < len(items) && len(events)+len(items[len(batch)].events) <= pusher.MaxBatch {
				t.Errorf("a call of %d events leaves a row behind", len(events))
			}
			middle := int(cut) % (len(batch) + 1)
			wantSame(t, "its first part", appendEvents(nil, batch[:middle]), batch[:middle])
			wantSame(t, "its second part", appendEvents(nil, batch[middle:]), batch[middle:])
			items = items[len(batch):]
		}
	})
}

// The limit is met to the byte, and an event alone is left as it is.
func TestPackLimit(t *testing.T) {
	first := packable(0, 4000, 0, 1)
	room := packedLimit - event.PackSize(event.PackSize(0, event.NewMessage, first.events[0].Data), event.NewMessage, nil)
	for extra, want := range []int{1, 2} { // events
		batch := call([]item{first, packable(0, room+extra, 0, 2)})
		events := appendEvents(nil, batch)
		if len(events) != want {
			t.Errorf("%d bytes more than fit make %d events, want %d", extra, len(events), want)
		}
		if want == 1 && len(events[0].Data) != packedLimit {
			t.Errorf("the pack has %d bytes, want %d", len(events[0].Data), packedLimit)
		}
		if want == 2 && (events[0].Name != event.NewMessage || &events[0].Data[0] != &first.events[0].Data[0]) {
			t.Error("an event that shares with none was touched")
		}
		wantSame(t, "both", events, batch)
	}
}

// Rooms do not share packs, and a call has ten events, however many rows.
func TestPackRooms(t *testing.T) {
	var items []item
	for i := range 600 {
		items = append(items, packable(i/50, 20, 0, int64(i%50+1)))
	}
	batch := call(items)
	events := appendEvents(nil, batch)
	if len(batch) != 500 || len(events) != 10 {
		t.Errorf("%d rows of twelve rooms in %d events, want those of ten rooms in ten", len(batch), len(events))
	}
	wantSame(t, "ten rooms", events, batch)
}
