package browser_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"roomcast/shared/browser"
	"roomcast/shared/browser/realtimetest"
	"roomcast/shared/event"
	"roomcast/shared/pusher"
	"roomcast/shared/pusher/pushertest"
)

// order is the body of POST /world/{what}: each uses what it needs of it.
type order struct {
	Room string
	User string

	// commit writes N messages, one each Every milliseconds, and answers when the
	// last is written. Their content is their number in the room, from 1.
	N, Every int
	Op       event.Op // default INSERT
	ID       string   // default m1, m2, …
	Content  string
	Size     int  // of a text beside the content: beyond 9,000 bytes it becomes a stub
	Void     bool // deleted by hand before it could be sent

	// The way to Pusher: probabilities of being lost, sent twice, or sent after the
	// next one; and the seed that decides.
	Lose, Repeat, Swap float64
	Seed               uint64
	Pack               int    // in packed channels: 1 to so many events travel together, as the seed decides
	Only               string // "pusher" or "supabase": the other side loses all

	On    bool
	Code  int
	Ms    int
	Head  int64
	Plan  browser.Plan
	Reset bool

	Mood string
	Kind string // of the channel that raw publishes to
	Poll int
	Name string // of a sent event, in place of new-message
	Data json.RawMessage
	At   string // when the row was written, in place of now
}

// parcel is an event on its way to Pusher, or a pack of them.
type parcel struct {
	event event.Event
	times int  // 0: lost
	swap  bool // goes after the next one
}

// control lets a test make things happen.
func (w *world) control(mux *http.ServeMux) {
	for what, do := range map[string]func(order) (any, error){
		"login":  func(o order) (any, error) { return json.RawMessage(w.session(o.User)), nil },
		"commit": w.commit,
		"expire": w.expire,
		"deny":   w.locked(func(o order) { w.denied[o.Room+o.User] = o.On }),
		"down":   w.locked(func(o order) { w.down = o.On }),
		"plan":   w.locked(func(o order) { w.plan = o.Plan }),
		// A copy of the database takes over, which has the room up to head.
		"restore": w.locked(func(o order) {
			r := w.rooms[o.Room]
			r.epoch, r.changes = fmt.Sprintf("e%d", rand.IntN(1e9)), r.changes[:o.Head]
		}),
		// The same, as when nobody notices: numbers above head are given again.
		"rewind": w.locked(func(o order) { r := w.rooms[o.Room]; r.changes = r.changes[:o.Head] }),
		// What came before is no longer kept.
		"clean": w.locked(func(o order) { r := w.rooms[o.Room]; r.first = int64(len(r.changes)) + 1 }),
		"cut": func(order) (any, error) {
			w.pusher.Cut()
			w.realtime.Cut()
			return nil, nil
		},
		"mood":    w.locked(func(o order) { w.moods[o.User] = o.Mood }),
		"signin":  w.locked(func(o order) { w.signin = o.N }),
		"publish": w.publishing,
		"raw":     w.raw,
		"freeze":  w.locked(func(order) { w.wire.freeze() }),
		"block": func(o order) (any, error) {
			w.wire.block(o.On)
			if o.On {
				w.pusher.Cut()
			}
			return nil, nil
		},
		"terminate": func(o order) (any, error) { return nil, w.publish.TerminateUser(w.ctx, o.User) },
		"refuse":    func(o order) (any, error) { w.realtime.Refuse(o.On); return nil, nil },
		"close":     func(o order) (any, error) { w.pusher.CloseSockets(o.Code, "by test"); return nil, nil },
		"restart":   w.restart,
		"realtime":  func(order) (any, error) { return w.realtime.Stats(), nil },
		"counts":    w.count,
	} {
		w.handle(mux, "POST /world/"+what, func(rw http.ResponseWriter, r *http.Request) error {
			var o order
			if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
				return err
			}
			result, err := do(o)
			if err != nil {
				return err
			}
			body, err := json.Marshal(result)
			return answer(rw, body, err)
		})
	}
}

func (w *world) locked(do func(order)) func(order) (any, error) {
	return func(o order) (any, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		do(o)
		return nil, nil
	}
}

// raw publishes an event that no row made: a hint, or the app's own.
func (w *world) raw(o order) (any, error) {
	name, err := channelOf(o.Room)
	if o.Kind != "" {
		name, err = event.ChannelName(event.ChannelKind(o.Kind), o.Room)
	}
	if err != nil {
		return nil, err
	}
	return nil, w.publish.PublishBatch(w.ctx, []pusher.Event{{Channel: name, Name: o.Name, Data: o.Data}})
}

// publishing has Pusher refuse what is published, and the function advise its pages.
func (w *world) publishing(o order) (any, error) {
	w.mu.Lock()
	w.poll = o.Poll
	w.mu.Unlock()
	w.pusher.Clear()
	if o.Code > 0 {
		w.pusher.Inject(pushertest.Fault{Method: http.MethodPost, Path: "/apps/*/*events", Status: o.Code})
	}
	return nil, nil
}

// expire ends every token there is, and the channels of Realtime that live by them.
func (w *world) expire(order) (any, error) {
	w.mu.Lock()
	w.oldest = w.issued + 1
	w.mu.Unlock()
	w.realtime.Expire()
	return nil, nil
}

// count returns the requests by route, and starts again from zero when told to.
func (w *world) count(o order) (any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int{}
	for route, n := range w.counts {
		_, name, _ := strings.Cut(route, " ")
		out[name] = n
	}
	if o.Reset {
		clear(w.counts)
	}
	return out, nil
}

// restart stops Pusher for a while; the channels' subscribers must come back.
func (w *world) restart(o order) (any, error) {
	w.pusher.Stop()
	select {
	case <-time.After(time.Duration(o.Ms) * time.Millisecond):
	case <-w.ctx.Done():
	}
	return nil, w.pusher.Start()
}

// room returns a room, and its queue to Pusher, which are made at first use.
func (w *world) room(id string) *room {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.rooms[id]
	if r == nil {
		r = &room{epoch: "e1", first: 1, queue: make(chan parcel, 10_000)}
		w.rooms[id] = r
		go w.deliver(r)
	}
	return r
}

func (w *world) commit(o order) (any, error) {
	r := w.room(o.Room)
	random := rand.New(rand.NewPCG(o.Seed, 1))
	var waiting []event.Event // of the pack that is not full yet
	full := 1
	tick := time.NewTicker(max(1, time.Duration(o.Every)*time.Millisecond))
	defer tick.Stop()
	for range max(1, o.N) {
		change, committed := w.write(r, o)
		if o.Only != "pusher" && o.Name == "" {
			w.realtime.Commit(committed)
		}
		if !change.void {
			if waiting = append(waiting, change.pushed); len(waiting) >= full {
				r.queue <- o.parcel(random, waiting)
				waiting, full = nil, 1+random.IntN(max(1, o.Pack))
			}
		}
		if o.Every > 0 {
			<-tick.C
		}
	}
	if len(waiting) > 0 {
		r.queue <- o.parcel(random, waiting)
	}
	return nil, nil
}

// parcel lets the seed decide what becomes of events that travel together.
func (o order) parcel(random *rand.Rand, events []event.Event) parcel {
	p := parcel{event: events[0], times: 1, swap: random.Float64() < o.Swap}
	if len(events) > 1 {
		var pack []byte
		for _, e := range events {
			pack = event.AppendPack(pack, e.Name, e.Data)
		}
		p.event = event.Event{Name: event.Pack, Room: events[0].Room, Data: pack}
	}
	if random.Float64() < o.Repeat {
		p.times = 2
	}
	if random.Float64() < o.Lose || o.Only == "supabase" {
		p.times = 0
	}
	return p
}

// write adds one row to the room's log, as the trigger and the numbering do.
func (w *world) write(r *room, o order) (stored, realtimetest.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	at := now.UTC().Format("2006-01-02T15:04:05.000000+00:00")
	if o.At != "" { // one transaction's
		at = o.At
		now, _ = time.Parse(time.RFC3339Nano, at)
	}
	if o.Op == "" {
		o.Op = event.Insert
		if o.Name == "" {
			r.written++
		}
		if o.ID == "" {
			o.ID, o.Content = fmt.Sprint("m", r.written), fmt.Sprint(r.written)
		}
	}
	record, _ := json.Marshal(map[string]any{
		"id": o.ID, "room_id": o.Room, "content": o.Content, "created_at": at, "text": strings.Repeat("x", o.Size),
	})
	position := &event.Position{Seq: int64(len(r.changes) + 1), Epoch: r.epoch, At: at}
	entry := stored{void: o.Void}
	if o.Name != "" {
		entry.pushed = event.Event{Name: o.Name, Room: o.Room, Data: w.withPosition(o.Data, position)}
		entry.full = entry.pushed
	} else {
		change := event.Change{Kind: event.Rows, Op: o.Op, Room: o.Room, Record: record, Keys: []string{"id", "room_id"}, Position: position}
		entry.pushed, entry.full = w.translate(change, 9000), w.translate(change, 0)
	}
	r.changes = append(r.changes, entry)
	c := realtimetest.Change{Schema: "public", Table: "messages", Type: string(o.Op), Keys: []string{"id"}, Committed: now}
	if o.Op != event.Insert {
		c.OldRecord = record // replica identity full
	}
	if o.Op != event.Delete {
		c.Record = record
	}
	return entry, c
}

func (w *world) translate(c event.Change, most int) event.Event {
	e, err := event.Translate(c, most)
	if err != nil {
		w.t.Error(err)
	}
	return e
}

// withPosition adds the reserved key to an event that is no row's; a stub says so in
// its own data's "roomcast".
func (w *world) withPosition(data json.RawMessage, p *event.Position) json.RawMessage {
	fields := map[string]any{}
	if len(data) > 0 {
		if err := json.Unmarshal(data, &fields); err != nil {
			w.t.Error(err)
		}
	}
	at := map[string]any{"seq": p.Seq, "epoch": p.Epoch, "at": p.At}
	if more, ok := fields["roomcast"].(map[string]any); ok {
		for k, v := range more {
			at[k] = v
		}
	}
	fields["roomcast"] = at
	out, _ := json.Marshal(fields)
	return out
}

// deliver carries a room's events to Pusher in order, as the relay does, and repeats
// them until Pusher takes them.
func (w *world) deliver(r *room) {
	var behind *parcel
	for {
		select {
		case <-w.ctx.Done():
			return
		case p := <-r.queue:
			if p.swap && behind == nil {
				behind = &p
				continue
			}
			w.send(p)
		case <-time.After(20 * time.Millisecond): // nothing came to be swapped with
		}
		if behind != nil {
			w.send(*behind)
			behind = nil
		}
	}
}

func (w *world) send(p parcel) {
	name, err := channelOf(p.event.Room)
	if err != nil {
		w.t.Error(err)
	}
	for range p.times {
		e := []pusher.Event{{Channel: name, Name: p.event.Name, Data: p.event.Data}}
		for w.publish.PublishBatch(w.ctx, e) != nil {
			select {
			case <-time.After(50 * time.Millisecond): // the relay's backoff
			case <-w.ctx.Done():
				return
			}
		}
	}
}

// channelOf is where a room's events go. A test room's kind is how its id begins.
func channelOf(room string) (string, error) {
	if user, personal := strings.CutPrefix(room, "@"); personal {
		return "private-user-" + user, nil
	}
	for _, kind := range []event.ChannelKind{event.Presence, event.Packed} {
		if strings.HasPrefix(room, string(kind)) {
			return event.ChannelName(kind, room)
		}
	}
	return event.ChannelName(event.Private, room)
}
