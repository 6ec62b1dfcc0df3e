package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}
