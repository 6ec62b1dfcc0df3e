// Package parity keeps pages' receipts and reports on them: during the move, whether it is
// safe to leave Supabase Realtime (Receipt, Report); afterwards, how messages reach pages
// (Delivery, DeliveryReport).
//
// While a chat listens to both, its pages count what came by which way and post the counts
// as receipts. The report says what each side lost, how late each was, and whether that is
// enough to cut over (verdict.go). Members' pages write receipts, and only for rooms that the
// member may read, so a receipt proves little by itself. The report therefore also has the
// audit, which uses the database alone.
package parity

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"roomcast/shared/audit"
	"roomcast/shared/event"
	"roomcast/shared/pace"
	"roomcast/shared/web"
)

const (
	// noteTimeout bounds the writing of one receipt.
	noteTimeout = 3 * time.Second
	// maxAtOnce is how many receipts may be at the database together. They share the
	// pool with what users wait for, and can wait themselves.
	maxAtOnce = 3
	// busyRetry is when a page may try again that found it full, or the database away.
	busyRetry = 30 * time.Second
)

// Reader decides who may read a room; *authorize.Handler is one. Its errors are
// answers: a *web.Error of 401, 403 or 503.
type Reader interface {
	Reader(r *http.Request, room string) (userID string, err error)
	Caller(r *http.Request) (userID string, err error)
}

// Store keeps receipts and knows the outbox; audit.Store is one.
type Store interface {
	NoteReceipt(ctx context.Context, r audit.Receipt) (outcome string, err error)
	NoteDelivery(ctx context.Context, userID, page string, n int64, d audit.Delivered) (outcome string, err error)
	deliverySource
	Source
}

// Source is what a report is made of; audit.Store has it.
type Source interface {
	Parity(ctx context.Context, since time.Time, maxRooms int) (audit.Report, error)
	Audit(ctx context.Context, since time.Duration) ([]audit.Finding, error)
}

// deliverySource is what a delivery report is made of; audit.Store has it.
type deliverySource interface {
	Deliveries(ctx context.Context, since time.Time) (audit.Deliveries, error)
}

var _ Store = audit.Store{}

// Config is what a Handler is made of.
type Config struct {
	Reader Reader
	Store  Store            // nil in forward-only mode, which has nothing to compare
	Now    func() time.Time // nil is time.Now
	// Observe, if set, is told every delivery receipt that was noted, for metrics.
	Observe func(audit.Delivered)
}

const (
	minEvery  = time.Minute // how often a page reports when there are few
	maxEvery  = time.Hour   // and at most when there are many: they count on meanwhile
	perMinute = 300         // the receipts that this process wants
	perUser   = 10          // the receipts of one user that count: rooms open in their pages
)

// Handler answers POST /parity and GET /parity.
type Handler struct {
	reader Reader
	store  Store
	now    func() time.Time
	pace   *pace.Pace
	turns  *web.Turns

	observe func(audit.Delivered)
}

// New returns a Handler.
func New(cfg Config) *Handler {
	h := &Handler{
		reader: cfg.Reader, store: cfg.Store, now: cfg.Now, observe: cfg.Observe, turns: web.NewTurns(maxAtOnce),
		pace: pace.New(pace.Config{Min: minEvery, Max: maxEvery, PerMinute: perMinute, PerCaller: perUser}),
	}
	if h.now == nil {
		h.now = time.Now
	}
	return h
}

// Answer is what a page is told in return for a receipt.
type Answer struct {
	Every  int  `json:"every"`            // seconds until the next one
	Repeat bool `json:"repeat,omitempty"` // this one was counted before
}

var errForwardOnly = web.NotFound("this function is in forward-only mode, which has no outbox to compare with")

// Receive handles POST /parity: a page's receipt, with the user's Supabase JWT. For one of
// the dual run the user must be allowed to read the room. Repeats are harmless.
func (h *Handler) Receive(w http.ResponseWriter, r *http.Request) error {
	if h.store == nil {
		return errForwardOnly
	}
	body, err := readReceipt(w, r)
	if err != nil {
		return err
	}
	var kind struct{ Mode string }
	if json.Unmarshal(body, &kind) == nil && kind.Mode == modeDelivery {
		return h.receiveDelivery(w, r, body)
	}
	receipt, err := ParseReceipt(body)
	if err != nil {
		return err
	}
	user, err := h.reader.Reader(r, receipt.Room)
	if err != nil {
		return err
	}
	return h.note(w, r, user, func(ctx context.Context, now time.Time) (string, error) {
		return h.store.NoteReceipt(ctx, audit.Receipt{
			UserID: user, Page: receipt.Page, Room: event.RoomKey(receipt.Room), N: receipt.N, Seen: receipt.seen(now),
		})
	})
}

// note has the database note a receipt, in the user's turn, and answers.
func (h *Handler) note(w http.ResponseWriter, r *http.Request, user string, note func(context.Context, time.Time) (string, error)) error {
	leave, err := h.turns.Enter(r.Context(), user)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(r.Context(), noteTimeout)
	defer cancel()
	now := h.now()
	outcome, err := note(ctx, now)
	switch {
	case r.Context().Err() != nil:
		return r.Context().Err() // the page is gone, and what it counted noted or not
	case err != nil:
		return web.Unavailable("receipts cannot be kept right now", busyRetry, err)
	case outcome == audit.ReceiptEarly:
		return &web.Error{Status: http.StatusTooManyRequests, Field: "n", Reason: "grows too fast", RetryAfter: minEvery}
	case outcome == audit.ReceiptMany:
		return &web.Error{Status: http.StatusTooManyRequests, Field: "page", Reason: "this user has opened too many, or reported too much", RetryAfter: maxEvery}
	}
	return web.WriteJSON(w, http.StatusOK, Answer{
		Every: int(h.pace.Arrived(user, now).Seconds()), Repeat: outcome == audit.ReceiptRepeat,
	})
}
