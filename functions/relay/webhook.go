package relay

import (
	"context"
	"net/http"
	"time"

	"roomcast/shared/web"
)

// Webhook answers POST /webhooks/supabase where there is an outbox. The route checks the
// secret. The body is never read: what is sent comes from the outbox, so a bad or missing
// body loses nothing.
type Webhook struct {
	// Wake is called for every request.
	Wake func()
	// Empty, if set, sends all waiting rows before the answer: for a platform on
	// which nothing runs between requests. Wake is then not called.
	Empty func(context.Context) error
}

// emptyLimit bounds the work done before an answer. pg_net waits five seconds by
// default and then records a timeout, which is harmless here.
const emptyLimit = 25 * time.Second

// ServeHTTP wakes the relay and answers 202 at once.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	if h.Empty == nil {
		h.Wake()
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), emptyLimit)
		defer cancel()
		if err := h.Empty(ctx); err != nil {
			return web.Unavailable("not everything could be sent; the rows wait in the outbox", time.Second, err)
		}
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}
