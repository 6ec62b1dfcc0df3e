package relay

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"roomcast/shared/web"
)

// The secret alone decides: a bad body wakes the relay, too, and is not read.
func TestWebhookWakesWhateverTheBody(t *testing.T) {
	woken := 0
	h := &Webhook{Wake: func() { woken++ }}
	secrets := web.NewSecrets([]string{"an-older-secret", hookSecret}, web.Addresses{}, time.Now)
	route := web.Handle(slog.New(slog.DiscardHandler), "POST /webhooks/supabase", h.ServeHTTP, web.Credential(secrets.Credential, nil))
	for _, tc := range []struct {
		body, secret  string
		status, woken int
	}{
		{`{"type":"WAKE"}`, hookSecret, 202, 1},
		{`{"type":`, hookSecret, 202, 1},
		{``, "an-older-secret", 202, 1},
		{`{"type":"WAKE"}`, "wrong", 401, 0},
		{`{"type":"WAKE"}`, "", 401, 0},
	} {
		woken = 0
		body := strings.NewReader(tc.body)
		r := httptest.NewRequest("POST", "/", body)
		r.Header.Set("Authorization", "Bearer "+tc.secret)
		w := httptest.NewRecorder()
		route.ServeHTTP(w, r)
		if w.Code != tc.status || woken != tc.woken {
			t.Errorf("%.20s: answered %d and woke %d times, want %d and %d", tc.body, w.Code, woken, tc.status, tc.woken)
		}
		if body.Len() != len(tc.body) {
			t.Errorf("%.20s: the body was read", tc.body)
		}
	}
}

const hookSecret = "s3cret-of-the-webhook"
