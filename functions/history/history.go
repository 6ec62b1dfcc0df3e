// Package history answers what a browser missed: of one room, of many, and of the
// user's own stream.
//
// Pusher delivers at most once and keeps nothing
// (pusher.com/docs/channels/library_auth_reference/pusher-websockets-protocol), so a client
// that sees a gap in a stream's numbers, reconnects, or gets a stub asks here. The answer
// has exactly the events that were or will be published, complete if the row is kept
// complete: a client may take an event from either source and drop the other.
package history

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/web"
)

const (
	// defaultLimit and maxLimit bound a page in events; the outbox bounds it in bytes.
	defaultLimit = 100
	maxLimit     = 500
	// readTimeout bounds the question to the database.
	readTimeout = 5 * time.Second
	// retryAfter is when a client may ask again after the database did not answer.
	retryAfter = 2 * time.Second
	// yesFor is for how long a yes counts while the events are being read. A slow database
	// would else give out what was written seconds after a membership had ended.
	yesFor = time.Second
)

// Authorizer decides who may read a room; *authorize.Handler is one. Its errors are
// answers: a *web.Error of 401, 403 or 503.
type Authorizer interface {
	// Reader returns the user who asks, if they may read the room with this id.
	Reader(r *http.Request, room string) (userID string, err error)
	// Readers is Reader for many rooms: a refusal, or nil, for each.
	Readers(r *http.Request, rooms []string) (userID string, refusals []error, err error)
	// Caller returns the user who asks.
	Caller(r *http.Request) (userID string, err error)
}

// Store has the events; *outbox.DB is one.
type Store interface {
	History(ctx context.Context, q outbox.HistoryQuery) (outbox.History, error)
	Histories(ctx context.Context, queries []outbox.HistoryQuery, budget int) ([]outbox.History, error)
}

var _ Store = (*outbox.DB)(nil)

// Handler answers with events.
type Handler struct {
	Authorizer Authorizer
	Store      Store // nil in forward-only mode, which keeps nothing
	Log        *slog.Logger
	// Poll, if set, returns how many seconds apart clients should poll while Pusher does
	// not accept events, 0 while it does. It is called once per request.
	Poll func() int
}

// Page is the answer for one stream.
type Page struct {
	Room  string `json:"room"`  // its id; empty for the user's own stream
	Epoch string `json:"epoch"` // empty for a stream that never had an event
	Head  int64  `json:"head"`  // the last number given in this stream
	// Last is how far this page reaches, and the next request's after. It can lie
	// beyond the last event here: a number whose event is gone is passed over.
	Last   int64   `json:"last"`
	Events []Event `json:"events"`
	More   bool    `json:"more"` // head lies beyond last
	// Reset: the events do not continue from the after that was asked for; what lay
	// between is no longer kept, not this user's to read, or of another epoch. They
	// begin with the oldest one that can be had.
	Reset bool `json:"reset"`
	// Poll: Pusher does not accept events now; ask again in so many seconds, and so on.
	Poll int `json:"poll,omitempty"`
}

// Event is one event as Pusher carries it, with its data as an object.
type Event struct {
	Name string          `json:"name"`
	Data json.RawMessage `json:"data"`
}

// Events handles GET /rooms/{room}/events?after=&epoch=&limit=. It is authorized
// like the room's channel. after is the last seq the caller has (default 0), epoch
// the epoch it belongs to, limit 0 to 500 (default 100; 0 asks for the head only).
// Repeats are harmless.
func (h *Handler) Events(w http.ResponseWriter, r *http.Request) error {
	if h.Store == nil {
		return errForwardOnly()
	}
	room := r.PathValue("room")
	q, err := parse(event.RoomKey(room), r.URL.RawQuery)
	if err != nil {
		return err
	}
	asked := time.Now()
	if q.UserID, err = h.Authorizer.Reader(r, room); err != nil {
		return err
	}
	found, err := h.read(r, q)
	if err == nil && time.Since(asked) > yesFor {
		_, err = h.Authorizer.Reader(r, room)
	}
	if err != nil {
		return err
	}
	return h.answer(w, room, found)
}

// Mine handles GET /me/events?after=&epoch=&limit=: Events, of the caller's own stream.
func (h *Handler) Mine(w http.ResponseWriter, r *http.Request) error {
	if h.Store == nil {
		return errForwardOnly()
	}
	user, err := h.Authorizer.Caller(r)
	if err != nil {
		return err
	}
	key, err := event.UserKey(user)
	if err != nil {
		return web.Forbidden("this user has no channel", err)
	}
	q, err := parse(key, r.URL.RawQuery)
	if err != nil {
		return err
	}
	q.UserID = user
	found, err := h.read(r, q)
	if err != nil {
		return err
	}
	return h.answer(w, "", found)
}

func (h *Handler) read(r *http.Request, q outbox.HistoryQuery) (outbox.History, error) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	found, err := h.Store.History(ctx, q)
	if err != nil {
		return found, unreadable(r, err)
	}
	return found, nil
}

func (h *Handler) answer(w http.ResponseWriter, room string, found outbox.History) error {
	p := h.page(room, found)
	p.Poll = h.poll()
	// No ETag: the page is different after the next message, and asked for once.
	// web.Handle has set Cache-Control: no-store, which also suits what it holds.
	return web.WriteJSON(w, http.StatusOK, p)
}

func (h *Handler) poll() int {
	if h.Poll == nil {
		return 0
	}
	return h.Poll()
}

func errForwardOnly() error {
	return web.NotFound("this function is in forward-only mode, which keeps no history")
}

// unreadable is the answer when the database did not answer.
func unreadable(r *http.Request, err error) error {
	return web.Unanswered(r, "history cannot be read right now", retryAfter, err)
}

// shallow is a size that no event passes that is nested too far to be encoded, but as a stub.
const shallow = 1 << 12

// page translates without a limit of size, so that nothing becomes a stub here but what is
// nested too far for an answer. A change that cannot be translated was parked for that
// reason; its number is passed over.
func (h *Handler) page(room string, found outbox.History) Page {
	p := Page{
		Room: room, Epoch: found.Epoch, Head: found.Head, Last: found.Last, Reset: found.Reset,
		Events: make([]Event, 0, len(found.Changes)), More: found.Last < found.Head,
	}
	for _, change := range found.Changes {
		e, err := event.Translate(change, 0)
		if err == nil && event.TooDeep(e.Data) {
			e, err = event.Translate(change, shallow)
		}
		if err != nil {
			h.Log.Error("event passed over", "room", room, "seq", change.Position.Seq, "err", err)
			continue
		}
		p.Events = append(p.Events, Event{e.Name, e.Data})
	}
	return p
}

// parse reads the request about the stream with this key. Each parameter may be absent or
// empty; none may come twice, since two readers could take different ones.
func parse(key, rawQuery string) (outbox.HistoryQuery, error) {
	q := outbox.HistoryQuery{Room: key}
	if !hasChannel(key) {
		return q, web.BadRequest("room", "has no channel: it is empty or too long")
	}
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return q, web.BadRequest("query", "cannot be read")
	}
	for _, name := range []string{"after", "epoch", "limit"} {
		if len(values[name]) > 1 {
			return q, web.BadRequest(name, "given more than once")
		}
	}
	if q.After, err = number(values, "after", 0, math.MaxInt64-maxLimit); err != nil {
		return q, err
	}
	limit, err := number(values, "limit", defaultLimit, maxLimit)
	if err != nil {
		return q, err
	}
	q.Max, q.Epoch = int(limit), values.Get("epoch")
	if !isEpoch(q.Epoch) {
		return q, web.BadRequest("epoch", "not an epoch of ours")
	}
	return q, nil
}

func hasChannel(key string) bool {
	kind := event.Private
	if stream, _, err := event.ParseKey(key); err == nil && stream == event.UserStream {
		kind = event.Personal
	}
	_, err := event.ChannelName(kind, key)
	return err == nil
}

// number reads a parameter of digits only, from 0 to limit.
func number(values url.Values, name string, absent, limit int64) (int64, error) {
	text := values.Get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.ParseUint(text, 10, 63) // takes no sign
	if err != nil || int64(n) > limit {
		return 0, web.BadRequest(name, fmt.Sprintf("must be a whole number from 0 to %d", limit))
	}
	return int64(n), nil
}

// isEpoch accepts what an epoch can look like, which no text in Postgres refuses.
func isEpoch(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(s) <= 64
}
