// Package inbox answers for a user's list of rooms: how many messages are unread in each
// (GET /me/rooms), how far the user has read (POST /rooms/{room}/read), and, while it is
// open, that something happened in one of them ([Hints]).
package inbox

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/event"
	"roomcast/shared/web"
)

const (
	callTimeout = 5 * time.Second // of one call to the database
	retryAfter  = 2 * time.Second
)

// MaxBody bounds the body of POST /rooms/{room}/read in bytes.
const MaxBody = 1 << 10

// Authorizer decides who may read a room; *authorize.Handler is one. Its errors are
// answers: a *web.Error of 401, 403 or 503.
type Authorizer interface {
	Reader(r *http.Request, room string) (userID string, err error)
	CallerClaims(r *http.Request) (userID string, claims []byte, err error)
}

// Store keeps what was read; [access.Store] is one.
type Store interface {
	Inbox(ctx context.Context, userID string, claims []byte) ([]access.InboxRoom, error)
	MarkRead(ctx context.Context, room, userID string, seq int64) error
}

var _ Store = access.Store{}

// Handler answers GET /me/rooms and POST /rooms/{room}/read.
type Handler struct {
	Authorizer Authorizer
	Store      Store
}

// Room is one of the rooms of GET /me/rooms.
type Room struct {
	Room   string     `json:"room"`
	Epoch  string     `json:"epoch"` // empty for a room that never had an event
	Head   int64      `json:"head"`  // the last number given in it
	Read   int64      `json:"read"`  // the last number that the user has read
	Unread int64      `json:"unread"`
	At     *time.Time `json:"at,omitempty"` // of the last event that is still kept
}

// Rooms handles GET /me/rooms: the rooms of which the caller is a member, the latest
// first, up to 500, with unread counts up to 1000. Repeats are harmless.
func (h *Handler) Rooms(w http.ResponseWriter, r *http.Request) error {
	user, claims, err := h.Authorizer.CallerClaims(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	found, err := h.Store.Inbox(ctx, user, claims)
	if err != nil {
		return unreachable(r, err)
	}
	rooms := make([]Room, len(found))
	for i, f := range found {
		rooms[i] = Room{Room: f.Room, Epoch: f.Epoch, Head: f.Head, Read: f.Read, Unread: f.Unread}
		if !f.LastAt.IsZero() {
			rooms[i].At = &f.LastAt
		}
	}
	return web.WriteJSON(w, http.StatusOK, map[string]any{"rooms": rooms})
}

// Read handles POST /rooms/{room}/read with {"seq":n}: the caller has read the room up to
// there. It never goes back, so repeats and late requests are harmless.
func (h *Handler) Read(w http.ResponseWriter, r *http.Request) error {
	room := r.PathValue("room")
	if _, err := event.ChannelName(event.Private, event.RoomKey(room)); err != nil {
		return web.BadRequest("room", "has no channel: it is empty or too long")
	}
	seq, err := readSeq(w, r)
	if err != nil {
		return err
	}
	user, err := h.Authorizer.Reader(r, room)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	if err := h.Store.MarkRead(ctx, room, user, seq); err != nil {
		return unreachable(r, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func readSeq(w http.ResponseWriter, r *http.Request) (int64, error) {
	if err := web.RequireJSON(r); err != nil {
		return 0, err
	}
	body, err := web.Body(w, r, MaxBody)
	if err != nil {
		return 0, err
	}
	var asked struct {
		Seq *int64 `json:"seq"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return 0, web.BadRequest("body", `is not of the form {"seq":42}`)
	}
	if asked.Seq == nil || *asked.Seq < 0 {
		return 0, web.BadRequest("seq", "must be a whole number, not below 0")
	}
	return *asked.Seq, nil
}

func unreachable(r *http.Request, err error) error {
	return web.Unanswered(r, "the inbox cannot be reached right now", retryAfter, err)
}
