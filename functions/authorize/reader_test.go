package authorize_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"roomcast/functions/authorize"
	"roomcast/shared/web"
)

// Reader says yes to whom Channel would say yes, and refuses in the same words.
func TestReader(t *testing.T) {
	for _, tt := range []struct {
		name, bearer, room string
		down               error
		status             int
	}{
		{"member", bearer(t), room, nil, 0},
		{"no token", "", room, nil, http.StatusUnauthorized},
		{"expired", bearer(t, set("exp", start.Unix()-60)), room, nil, http.StatusUnauthorized},
		{"stranger", bearer(t), "another", nil, http.StatusForbidden},
		{"no text in Postgres", bearer(t), "a\x00b", nil, http.StatusForbidden},
		{"database down", bearer(t), room, errors.New("down"), http.StatusServiceUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h *authorize.Handler
			d := newDesk(t, func(cfg *authorize.Config) { h = authorize.New(*cfg) })
			d.members.err = tt.down
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if tt.bearer != "" {
				r.Header.Set("Authorization", "Bearer "+tt.bearer)
			}
			who, err := h.Reader(r, tt.room)
			var refusal *web.Error
			switch {
			case tt.status == 0 && (err != nil || who != user):
				t.Errorf("%q, %v", who, err)
			case tt.status != 0 && (!errors.As(err, &refusal) || refusal.Status != tt.status):
				t.Errorf("got %v, want %d", err, tt.status)
			}
		})
	}
}
