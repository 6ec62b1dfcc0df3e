package main

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
)

// A deploy believes that a version serves when the bell's answer and /healthz both
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
	var health struct {
		Status, Mode, Version string
		Ready                 bool
		Channels              []string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &health); err != nil {
		t.Fatal(err)
	}
	if !health.Ready || health.Status != "ok" || health.Mode != "outbox" || len(health.Channels) != 1 || health.Version != version() {
		t.Errorf("/healthz says %s", w.Body)
	}
}
