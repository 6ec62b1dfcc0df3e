package inbox

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/event"
	"roomcast/shared/pusher"
	"roomcast/shared/recent"
)

const (
	// hintEvery is how often a room's members are told that something happened in it.
	hintEvery = time.Second
	// membersKept is how long at least a room's members are remembered, and half of how
	// long at most. Another machine may have sent the departure of one of them.
	membersKept = 900 * time.Millisecond
	// maxPending bounds the rooms that wait for their second; hints of more are dropped.
	maxPending = 10_000
	// maxMembers bounds the members that are kept, of all rooms together.
	maxMembers = 100_000
	parallel   = 4 // calls at once
	// turnsOf is how many rooms are hinted at before the next turns are chosen.
	turnsOf = 4 * parallel
	// lastKept is how long at least it is known when a room was hinted at last, maxLast of how
	// many rooms: more than calls can be made meanwhile.
	lastKept = 10 * time.Second
	maxLast  = 20_000
	// longest is how long a room waits at most before it goes ahead of those that came later,
	// however often it was hinted at.
	longest   = 10 * time.Second
	hintLimit = 5 * time.Second // of one call
)

// Members lists the members of a room; [access.Store] does.
type Members interface {
	Members(ctx context.Context, room string) (userIDs []string, err error)
}

// Publisher sends one event to many channels; *pusher.Client does.
type Publisher interface {
	PublishToSeveral(ctx context.Context, channels []string, name string, data []byte) error
}

var (
	_ Members   = access.Store{}
	_ Publisher = (*pusher.Client)(nil)
)

// Hints tells the members of a room, each in their personal channel, that something
// happened there: room-activity, at most once a second for a room. A hint has no number
// and is not repeated: what it hints at is in the database. The relay tells of each
// message that Pusher accepted; nothing of this runs in the chat's transactions. Where more
// rooms wait than can be told of, those go first that were hinted at the longest ago: who
// writes much, in many rooms, delays those rooms and not others'. It is safe for concurrent
// use and has no goroutine at rest.
type Hints struct {
	Members   Members
	Publisher Publisher
	Log       *slog.Logger

	mu      sync.Mutex
	pending map[string]waiting // by room key
	last    *recent.Map[string, time.Time]
	members *recent.Map[string, []string] // personal channels
	kept    int                           // channels in members' present generation
	turned  time.Time
	running bool
	done    sync.WaitGroup
}

// hint is the data of a room-activity event.
type hint struct {
	Room string `json:"room"` // its id
	Seq  int64  `json:"seq"`
	At   string `json:"at"`
}

// waiting is a hint that is to be sent.
type waiting struct {
	hint
	since time.Time // it was first wanted
}

// NewHints returns Hints.
func NewHints(members Members, publisher Publisher, log *slog.Logger) *Hints {
	return &Hints{
		Members: members, Publisher: publisher, Log: log, pending: map[string]waiting{},
		last:    recent.New[string, time.Time](lastKept, maxLast),
		members: recent.New[string, []string](membersKept, maxPending),
	}
}

// Accepted notes that Pusher accepted a change, and hints at it within a second. Only
// messages of rooms are hinted at.
func (h *Hints) Accepted(c event.Change) {
	if c.Kind == event.Members {
		h.mu.Lock()
		h.members.Delete(c.Room)
		h.mu.Unlock()
	}
	if c.Position == nil || c.Kind != event.Rows || c.Name != event.Message {
		return
	}
	stream, room, err := event.ParseKey(c.Room)
	if err != nil || stream != event.RoomStream {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	before, known := h.pending[c.Room]
	switch {
	case !known && len(h.pending) >= maxPending:
		return
	case !known:
		before.since = time.Now()
	}
	h.pending[c.Room] = waiting{hint{Room: room, Seq: c.Position.Seq, At: c.Position.At}, before.since}
	if !h.running {
		h.running = true
		h.done.Add(1)
		go h.run()
	}
}

// Finish waits for the hints that are due, before the process goes where nothing runs.
func (h *Hints) Finish() { h.done.Wait() }

// run sends hints until none is pending.
func (h *Hints) run() {
	defer h.done.Done()
	for {
		due, next := h.take(time.Now())
		if len(due) == 0 {
			if next.IsZero() {
				return
			}
			time.Sleep(time.Until(next))
			continue
		}
		slots := make(chan struct{}, parallel)
		var sending sync.WaitGroup
		for _, d := range due {
			slots <- struct{}{}
			sending.Go(func() {
				h.send(d.key, d.hint)
				<-slots
			})
		}
		sending.Wait()
	}
}

// due is a hint whose second is over.
type due struct {
	waiting
	key  string
	last time.Time // of the hint before; zero: none is known
}

// compareTurns puts those first that have waited for too long, the longest first; then those
// that were hinted at the longest ago.
func compareTurns(a, b due, now time.Time) int {
	late := now.Sub(a.since) > longest
	switch lateToo := now.Sub(b.since) > longest; {
	case late && !lateToo:
		return -1
	case lateToo && !late:
		return 1
	case late:
		return a.since.Compare(b.since)
	}
	return cmp.Or(a.last.Compare(b.last), a.since.Compare(b.since))
}

// take returns the hints whose second is over and whose turn it is, and when the next
// one's second is. Without any it ends the run.
func (h *Hints) take(now time.Time) (turn []due, next time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, waits := range h.pending {
		last, ok := h.last.Get(key, now)
		if at := last.Add(hintEvery); ok && now.Before(at) && !last.After(now) {
			if next.IsZero() || at.Before(next) {
				next = at
			}
			continue
		}
		turn = append(turn, due{waits, key, last})
	}
	slices.SortFunc(turn, func(a, b due) int { return compareTurns(a, b, now) })
	turn = turn[:min(len(turn), turnsOf)]
	for _, d := range turn {
		delete(h.pending, d.key)
		h.last.Put(d.key, now, now)
	}
	h.running = len(turn) > 0 || !next.IsZero()
	return turn, next
}

func (h *Hints) send(key string, hint hint) {
	ctx, cancel := context.WithTimeout(context.Background(), hintLimit)
	defer cancel()
	channels, err := h.channels(ctx, key, hint.Room)
	if err != nil {
		h.Log.Debug("no room-activity: the members cannot be read", slog.Any("err", err))
		return
	}
	data, err := json.Marshal(hint)
	if err != nil {
		return // a text and two fields always marshal
	}
	for len(channels) > 0 {
		n := min(len(channels), pusher.MaxChannels)
		if err := h.Publisher.PublishToSeveral(ctx, channels[:n], event.RoomActivity, data); err != nil {
			h.Log.Debug("no room-activity: pusher does not take it", slog.Any("err", err))
			return
		}
		channels = channels[n:]
	}
}

// channels are the personal channels of a room's members.
func (h *Hints) channels(ctx context.Context, key, room string) ([]string, error) {
	h.mu.Lock()
	channels, ok := h.members.Get(key, time.Now())
	h.mu.Unlock()
	if ok {
		return channels, nil
	}
	users, err := h.Members.Members(ctx, room)
	if err != nil {
		return nil, err
	}
	for _, user := range users {
		userKey, err := event.UserKey(user)
		if err != nil {
			continue
		}
		if name, err := event.ChannelName(event.Personal, userKey); err == nil {
			channels = append(channels, name)
		}
	}
	h.keep(key, channels)
	return channels, nil
}

// keep remembers a room's members, as long as there is room for them.
func (h *Hints) keep(key string, channels []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if now.Sub(h.turned) > membersKept {
		h.turned, h.kept = now, 0
	}
	if h.kept+len(channels) <= maxMembers && h.members.Put(key, channels, now) {
		h.kept += len(channels)
	}
}
