// Package presence answers POST /webhooks/pusher: who is online in which room.
//
// Pusher reports when a user's first connection enters a presence channel and when the
// last one leaves it: users, not connections. It reports late (that a user left by up to
// 75 s), repeats unanswered webhooks for five minutes, and keeps no order. So the table
// roomcast.presence is good for a green dot, and never for an access decision. Memberships
// come from the chat's tables, by way of the outbox.
package presence

import (
	"context"
	"errors"
	"net/http"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/pusher"
	"roomcast/shared/web"
)

const (
	// maxBody bounds a webhook in bytes: two thousand events, where Pusher sends what
	// happened in a second at most.
	maxBody = 256 << 10
	// maxAge and maxAhead bound what is believed by its own time. Pusher repeats for
	// 5 minutes, and a leaving comes up to 75 s late; the rest is for clocks. Beyond
	// that a signed body is a recording.
	maxAge   = 10 * time.Minute
	maxAhead = time.Minute

	noteTimeout = 5 * time.Second
	retryAfter  = time.Second
)

// Verifier tells a webhook of Pusher's from others; *pusher.Client is one.
type Verifier interface {
	WebhookForm(header http.Header) error
	Webhook(header http.Header, body []byte) (*pusher.Webhook, error)
}

// Store keeps who is online; access.Store is one.
type Store interface {
	NotePresence(ctx context.Context, said []access.Presence, at time.Time, announce bool) (changed []access.Presence, err error)
}

var (
	_ Verifier = (*pusher.Client)(nil)
	_ Store    = access.Store{}
)

// Handler answers Pusher's presence webhooks.
type Handler struct {
	Verifier Verifier
	Store    Store
	// Announce puts what changed into the outbox, as user-online and user-offline.
	Announce bool
	// Wake wakes the relay after it did.
	Wake  func()
	Clock func() time.Time
	// Verified, if set, is called for each webhook that Pusher has signed, and that is no
	// recording.
	Verified func(r *http.Request)
}

// Form checks what can be checked before the body is read: whether the headers are those
// of this app's webhooks. They can be forged; the signature, over the body, cannot.
func (h *Handler) Form(r *http.Request) (*http.Request, error) {
	if err := h.Verifier.WebhookForm(r.Header); err != nil {
		return nil, web.Unauthorized("not signed by this app", err)
	}
	return r, nil
}

// Presence handles POST /webhooks/pusher. Repeats are harmless, and so are webhooks
// that come in another order than they were sent in. It answers 204 to all that
// needs no repeating; anything else makes Pusher repeat it for five minutes.
func (h *Handler) Presence(w http.ResponseWriter, r *http.Request) error {
	body, err := web.Body(w, r, maxBody)
	if err != nil {
		return err
	}
	hook, err := h.Verifier.Webhook(r.Header, body)
	switch {
	case errors.Is(err, pusher.ErrWebhookBody):
		return web.BadRequest("body", "is no webhook")
	case err != nil:
		return web.Unauthorized("not signed by this app", err)
	}
	if age := h.Clock().Sub(hook.Time); age > maxAge || age < -maxAhead {
		return web.Forbidden("too old, or from the future; check this machine's clock", nil)
	}
	if h.Verified != nil {
		h.Verified(r)
	}
	if said := digest(hook.Events); len(said) > 0 {
		if err := h.note(r.Context(), said, hook.Time); err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *Handler) note(ctx context.Context, said []access.Presence, at time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, noteTimeout)
	defer cancel()
	changed, err := h.Store.NotePresence(ctx, said, at, h.Announce)
	if err != nil {
		return web.Unavailable("presence cannot be kept right now", retryAfter, err)
	}
	if h.Announce && len(changed) > 0 {
		h.Wake()
	}
	return nil
}
