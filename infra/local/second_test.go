package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"roomcast/infra/child"
)

// secondRelay starts the function with what the stack printed and ports of its own.
func secondRelay(t *testing.T, env map[string]string) {
	binary, err := function()
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	var environ []string
	for name, value := range env {
		environ = append(environ, name+"="+value)
	}
	second := &machine{
		binary: binary, env: append(environ, fmt.Sprintf("METRICS_PORT=%d", metrics)),
		log: testLog{t}, say: t.Logf, died: func(err error) { t.Errorf("second relay: %v", err) },
	}
	t.Cleanup(func() {
		if err := second.stop(); err != nil {
			t.Error(err)
		}
	})
	proxy := httptest.NewServer(newProxy(second).Handler)
	t.Cleanup(proxy.Close)
	form := url.Values{"socket_id": {"1.1"}, "channel_name": {"private-room-" + env["DEMO_ROOM"]}}.Encode()
	if status, body := call(t, "POST", proxy.URL+"/pusher/auth", env["MEMBER_JWT"], form); status != http.StatusOK {
		t.Errorf("authorization: %d %s", status, body)
	}
	history := proxy.URL + "/rooms/" + env["DEMO_ROOM"] + "/events?after=0"
	if status, body := call(t, "GET", history, env["MEMBER_JWT"], ""); status != http.StatusOK {
		t.Errorf("history: %d %s", status, body)
	}
	status, text := call(t, "GET", "http://"+address(metrics)+"/metrics", "", "")
	if status != http.StatusOK || !strings.Contains(text, "roomcast_") {
		t.Errorf("metrics: %d", status)
	}
}

// reactions: a table without a room of its own is relayed to its message's room, by the
// names of its attachment, and its removal reaches the same room.
func reactions(t *testing.T, env map[string]string) {
	history := env["ROOMCAST_URL"] + "/rooms/" + env["DEMO_ROOM"] + "/events?after=0"
	path := env["DEMO_URL"] + "/api/rooms/" + env["DEMO_ROOM"] + "/messages/00000000-0000-4000-8000-000000000102/reactions"
	status, body := call(t, "POST", path, env["MEMBER_JWT"], `{"content":"⚓"}`)
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(body), &made); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s %v", status, body, err)
	}
	if status, body := call(t, "POST", path, env["STRANGER_JWT"], `{"content":"⚓"}`); status != http.StatusForbidden {
		t.Errorf("a stranger's: %d %s", status, body)
	}
	comes := func(parts ...string) {
		await(t, "the event with "+strings.Join(parts, " and "), func() bool {
			_, body := call(t, "GET", history, env["MEMBER_JWT"], "")
			return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(body, part) })
		})
	}
	comes(`"new-reaction"`, "⚓")
	if status, body := call(t, "DELETE", path+"/"+made.ID, env["MEMBER_JWT"], ""); status != http.StatusOK {
		t.Errorf("removal: %d %s", status, body)
	}
	comes(`"reaction-deleted"`)
}
