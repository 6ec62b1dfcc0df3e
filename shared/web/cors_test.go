package web_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"roomcast/shared/web"
)

func TestCORS(t *testing.T) {
	const app, other = "https://app.example.com", "https://app.example.com.evil.example"
	for _, tc := range []struct {
		name      string
		origins   []string
		origin    string
		preflight bool
		status    int
		allow     string
		vary      bool
	}{
		{"no list", nil, app, false, 200, "", false},
		{"no list, preflight goes through", nil, app, true, 200, "", false},
		{"listed", []string{"https://x.example", app}, app, false, 200, app, true},
		{"listed, preflight", []string{app}, app, true, 204, app, true},
		{"longer than the listed one", []string{app}, other, false, 200, "", true},
		{"not listed, preflight", []string{app}, other, true, 403, "", true},
		{"another scheme", []string{app}, "http://app.example.com", true, 403, "", true},
		{"null", []string{app}, "null", true, 403, "", true},
		{"no origin", []string{app}, "", false, 200, "", true},
		{"everyone", []string{"*"}, other, false, 200, "*", false},
		{"everyone, preflight", []string{"*"}, other, true, 204, "*", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reached := false
			h := web.CORS(tc.origins, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
			r := httptest.NewRequest("GET", "/", nil)
			if tc.origin != "" {
				r.Header.Set("Origin", tc.origin)
			}
			if tc.preflight {
				r.Method = "OPTIONS"
				r.Header.Set("Access-Control-Request-Method", "POST")
				r.Header.Set("Access-Control-Request-Headers", "authorization")
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tc.status || w.Header().Get("Access-Control-Allow-Origin") != tc.allow {
				t.Errorf("got %d %v", w.Code, w.Header())
			}
			if got := slices.Contains(w.Header().Values("Vary"), "Origin"); got != tc.vary {
				t.Errorf("Vary = %q", w.Header().Values("Vary"))
			}
			if w.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Error("credentials allowed")
			}
			if reached != (tc.status == 200) {
				t.Errorf("handler reached: %v", reached)
			}
			if tc.status == 204 && (w.Header().Get("Access-Control-Allow-Headers") != "Authorization, Content-Type" ||
				w.Header().Get("Access-Control-Allow-Methods") != "GET, POST" || w.Header().Get("Access-Control-Max-Age") == "") {
				t.Errorf("preflight answer %v", w.Header())
			}
		})
	}
}

// The browser must be able to read why it was refused.
func TestCORSHeadersStayOnErrors(t *testing.T) {
	const app = "https://app.example.com"
	h := web.CORS([]string{app}, web.Handle(slog.New(slog.DiscardHandler), "POST /pusher/auth",
		func(http.ResponseWriter, *http.Request) error { return web.Forbidden("no member of this room", nil) }))
	r := httptest.NewRequest("POST", "/pusher/auth", nil)
	r.Header.Set("Origin", app)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 403 || w.Header().Get("Access-Control-Allow-Origin") != app {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}
