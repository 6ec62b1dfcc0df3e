package main

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/http/httptest"
	"strings"
	"testing"
)

// A deploy believes that a version serves when the wake-up's answer and /healthz both
// say so, whatever else they answer.
func TestEveryAnswerTellsTheVersion(t *testing.T) {
	cfg, err := loadConfig(complete())
	if err != nil {
		t.Fatal(err)
	}
	p, err := assemble(cfg, slog.New(slog.DiscardHandler), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	routes := p.routes()
	for _, target := range []string{"GET /healthz", "POST /webhooks/supabase", "GET /nowhere"} {
		method, path, _ := strings.Cut(target, " ")
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if got := w.Header().Get(versionHeader); got != version() {
			t.Errorf("%s: answered %d with version %q, want %q", target, w.Code, got, version())
		}
	}
	w := httptest.NewRecorder()
	routes.ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil))
	var health map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &health); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"status": "ok", "mode": "outbox", "channels": "private", "version": version()}
	if !maps.Equal(health, want) {
		t.Errorf("/healthz says %v, want %v", health, want)
	}
}
