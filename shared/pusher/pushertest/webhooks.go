package pushertest

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"
)

// Pusher repeats a webhook that was not answered with 2xx for five minutes
// (https://pusher.com/docs/channels/server_api/webhooks/).
const (
	hookPatience = 5 * time.Minute
	hookTimeout  = 10 * time.Second
	hookMaxPause = time.Minute
)

// hookEvent is one entry of a webhook's events.
type hookEvent struct {
	Name    string `json:"name"`
	Channel string `json:"channel"`
	UserID  string `json:"user_id,omitempty"`
}

// webhooks sends what happened, in order, one request at a time; what happens meanwhile goes
// into the next request.
type webhooks struct {
	server *Server
	wake   chan struct{} // one slot
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	waiting []hookEvent
}

func newWebhooks(s *Server) *webhooks {
	ctx, cancel := context.WithCancel(context.Background())
	h := &webhooks{server: s, wake: make(chan struct{}, 1), cancel: cancel}
	if s.opts.WebhookURL != "" {
		h.done.Go(func() { h.run(ctx) })
	}
	return h
}

func (h *webhooks) add(events ...hookEvent) {
	if h.server.opts.WebhookURL == "" {
		return
	}
	h.mu.Lock()
	h.waiting = append(h.waiting, events...)
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *webhooks) close() {
	h.cancel()
	h.done.Wait()
}

func (h *webhooks) run(ctx context.Context) {
	for {
		select {
		case <-h.wake:
		case <-ctx.Done():
			return
		}
		h.mu.Lock()
		events := h.waiting
		h.waiting = nil
		h.mu.Unlock()
		body := marshal(map[string]any{"time_ms": h.server.opts.Clock().UnixMilli(), "events": events})
		h.deliver(ctx, body)
	}
}

// deliver repeats the same body until it is taken.
func (h *webhooks) deliver(ctx context.Context, body []byte) {
	ctx, cancel := context.WithTimeout(ctx, hookPatience)
	defer cancel()
	for pause := h.server.opts.WebhookRetry; !h.post(ctx, body); pause = min(2*pause, hookMaxPause) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			h.server.opts.Log.Error("pushertest webhook given up", "url", h.server.opts.WebhookURL)
			return
		}
	}
}

func (h *webhooks) post(ctx context.Context, body []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.server.opts.WebhookURL, bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Pusher-Key", h.server.opts.Key)
	req.Header.Set("X-Pusher-Signature", h.server.sign(body))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.server.opts.Log.Info("pushertest webhook", "error", err)
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode/100 == 2
}
