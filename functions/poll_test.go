package main

import (
	"net/http"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/selfcheck"
)

// While Pusher refuses what is published, every page of events asks its reader to poll;
// when it accepts again, none does.
func TestPagesAreToldToPoll(t *testing.T) {
	t.Parallel()
	push, database := newPusher(t), outboxtest.Chat(t)
	f := start(t, environment(push, "DATABASE_URL="+database))
	if err := outboxtest.Exec(t.Context(), database, `insert into room_participants (room_id, user_id)
		values ('aaaaaaaa-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000001')`); err != nil {
		t.Fatal(err)
	}
	page := func() (p struct{ Poll, Head int }) {
		t.Helper()
		if status := f.asMember(t, "/rooms/aaaaaaaa-0000-4000-8000-000000000001/events", &p); status != http.StatusOK {
			t.Fatal(status)
		}
		return p
	}
	if p := page(); p.Poll != 0 {
		t.Errorf("poll %d, and Pusher is well", p.Poll)
	}
	fault := push.Inject(pushertest.Fault{Status: 500})
	f.message(t, database, "unheard")
	f.wakeUp(t)
	f.until(t, "the trouble is told", func(map[string]*dto.MetricFamily) bool { return page().Poll > 0 })
	if p := page(); p.Poll < 5 || p.Poll > 15 || p.Head == 0 {
		t.Errorf("told %+v", p)
	}
	told, err := selfcheck.AskRelay(t.Context(), http.DefaultClient, f.address, webhookSecret)
	if err != nil || told.Polling == nil || told.Polling.LastMinute == 0 || !strings.Contains(told.Polling.Answer, "500") {
		t.Errorf("the operator is told %+v, %v", told, err)
	}
	if !strings.Contains(f.logged(), "relay wakes") {
		t.Error("the log does not tell that the relay woke")
	}
	fault.Remove()
	await(t, push, 2)
	f.until(t, "no page is to poll", func(map[string]*dto.MetricFamily) bool { return page().Poll == 0 })
}
