package pushertest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"roomcast/shared/pusher"
)

func anEvent(channel string) []pusher.Event {
	return []pusher.Event{{Channel: channel, Name: "n", Data: []byte("d")}}
}

func TestFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		fault    Fault
		check    func(error) bool
		accepted int // of the one event
		dropped  bool
	}{
		"status": {
			Fault{Status: 503, Body: "busy", RetryAfter: 3 * time.Second}, func(err error) bool {
				var answer *pusher.Error
				return errors.As(err, &answer) && answer.Status == 503 && answer.Reason == "busy" && answer.RetryAfter == 3*time.Second
			}, 0, false},
		"reset":                {Fault{Reset: true}, isReset, 0, false},
		"reset after accept":   {Fault{ResetAfterAccept: true}, isReset, 1, false},
		"rubbish after accept": {Fault{AnswerAfterAccept: "<html>"}, func(err error) bool { return err == nil }, 1, false},
		"drop":                 {Fault{Drop: true}, func(err error) bool { return err == nil }, 1, true},
		"hang":                 {Fault{Hang: true}, isDeadline, 0, false},
		"long delay":           {Fault{Delay: time.Hour}, isDeadline, 0, false},
		"short delay":          {Fault{Delay: time.Millisecond}, func(err error) bool { return err == nil }, 1, false},
	} {
		s := start(t, Options{})
		c := client(t, s)
		tc.fault.Times = 1
		inj := s.Inject(tc.fault)
		ctx := within(t)
		if tc.fault.Hang || tc.fault.Delay > time.Minute {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
		}
		if err := c.PublishBatch(ctx, anEvent("c")); !tc.check(err) {
			t.Errorf("%s: %v", name, err)
		}
		got := s.Events()
		if len(got) != tc.accepted || inj.Hits() != 1 || len(got) > 0 && got[0].Dropped != tc.dropped {
			t.Errorf("%s: %d hits, recorded %+v", name, inj.Hits(), got)
		}
		if err := c.PublishBatch(within(t), anEvent("c")); err != nil {
			t.Errorf("%s: once only, but then: %v", name, err)
		}
	}
}

func isReset(err error) bool {
	// Depending on the moment, the client sees the RST or only that the connection ended.
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)
}

func isDeadline(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// What is dropped was accepted, and is heard by nobody.
func TestDroppedEventsAreNotDelivered(t *testing.T) {
	s := start(t, Options{})
	c := client(t, s)
	p := open(t, s)
	p.say(`{"event":"pusher:subscribe","data":{"channel":"room"}}`)
	p.expect(evSubscribed, nil)
	s.Inject(Fault{Drop: true, Times: 1})
	for _, name := range []string{"first", "second"} {
		if err := c.PublishBatch(within(t), []pusher.Event{{Channel: "room", Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	p.expect("second", nil)
	if all := s.Events(); len(all) != 2 || !all[0].Dropped || all[1].Dropped {
		t.Errorf("recorded %+v", all)
	}
}

func TestFaultsMatch(t *testing.T) {
	s := start(t, Options{})
	c := client(t, s)
	fails := func(channel string) bool { return c.PublishBatch(within(t), anEvent(channel)) != nil }
	single := func() bool { return trigger(s, anEvent("c")[0], "") != nil }

	inj := s.Inject(Fault{Path: "/apps/*/batch_events", Channel: "private-*", Status: 500})
	if fails("c") || single() || !fails("private-x") || !fails("private-y") {
		t.Error("path and channel do not select the request")
	}
	inj.Remove()
	if fails("private-x") {
		t.Error("removed, but it still hits")
	}

	s.Inject(Fault{Skip: 1, Times: 2, Status: 500})
	if got := []bool{fails("c"), fails("c"), fails("c"), fails("c")}; got[0] || !got[1] || !got[2] || got[3] {
		t.Errorf("skip 1, hit 2: failed %v", got)
	}

	s.Inject(Fault{Method: http.MethodGet, Status: 500})
	s.Inject(Fault{Match: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/events") }, Status: 500})
	if _, err := c.Check(within(t)); err == nil || fails("c") || !single() {
		t.Error("method and predicate do not select the request")
	}
	s.Clear()
	if single() {
		t.Error("cleared, but it still hits")
	}
}

func TestAdmin(t *testing.T) {
	s := start(t, Options{Admin: true})
	c := client(t, s)
	do := func(method, path, contentType, body string) (int, string) {
		req, err := http.NewRequestWithContext(within(t), method, "http://"+s.Addr()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(raw)
	}
	for _, wrong := range []string{`{"stauts":500}`, `{"delay":"soon"}`, `{"delay":5}`, `[]`} {
		if status, _ := do("POST", "/admin/faults", "application/json", wrong); status != 400 {
			t.Errorf("%s: %d", wrong, status)
		}
	}
	if status, _ := do("POST", "/admin/faults", "text/plain", `{"status":500}`); status != 415 {
		t.Errorf("text/plain: %d", status)
	}
	if status, body := do("POST", "/admin/faults", "application/json", `{"status":429,"delay":"1ms","retry_after":"2s"}`); status != 200 {
		t.Fatal(status, body)
	}
	var answer *pusher.Error
	if err := c.PublishBatch(within(t), anEvent("c")); !errors.As(err, &answer) || answer.Status != 429 || answer.RetryAfter != 2*time.Second {
		t.Error(err)
	}
	if status, _ := do("DELETE", "/admin/faults", "", ""); status != 200 {
		t.Error(status)
	}
	if err := c.PublishBatch(within(t), anEvent("c")); err != nil {
		t.Error(err)
	}
	if _, body := do("GET", "/admin/stats", "", ""); body != `{"requests":1,"events":1,"sockets":0}` {
		t.Error(body)
	}
	if _, body := do("GET", "/admin/events?from=0", "", ""); !strings.Contains(body, `"channel":"c"`) {
		t.Error(body)
	}
	if _, body := do("GET", "/admin/events?from=1", "", ""); body != `[]` {
		t.Error(body)
	}
	closed := start(t, Options{})
	if resp, err := http.Get("http://" + closed.Addr() + "/admin/stats"); err != nil || resp.StatusCode != 404 {
		t.Errorf("admin is on without being asked for: %v", err)
	}
}

func TestStopAndStart(t *testing.T) {
	s := start(t, Options{})
	c := client(t, s)
	addr := s.Addr()
	if err := c.PublishBatch(within(t), anEvent("c")); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Stop() // harmless
	if err := c.PublishBatch(within(t), anEvent("c")); pusher.Classify(err) != pusher.TryLater {
		t.Errorf("stopped: %v", err)
	}
	for range 2 {
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.PublishBatch(within(t), anEvent("c")); err != nil || s.Addr() != addr || len(s.Events()) != 2 {
		t.Errorf("started again: %v, at %s with %d events", err, s.Addr(), len(s.Events()))
	}
}

func TestRecording(t *testing.T) {
	s := start(t, Options{Record: 10})
	c := client(t, s)
	var heard []Accepted
	s.OnEvent(func(a Accepted) { heard = append(heard, a) }) // one at a time: no lock needed
	var publishers sync.WaitGroup
	for range 4 {
		publishers.Go(func() {
			for range 5 {
				if err := c.PublishBatch(within(t), anEvent("c")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	err := s.Wait(within(t), func(all []Accepted) bool { return len(all) > 0 && all[len(all)-1].Request == 20 })
	publishers.Wait()
	if err != nil {
		t.Fatal(err)
	}
	remembered := s.Events()
	if len(heard) != 20 || len(remembered) < 5 || len(remembered) > 10 || s.Stats().Events != 20 {
		t.Fatalf("heard %d, remember %d, counted %d", len(heard), len(remembered), s.Stats().Events)
	}
	for i, a := range heard {
		if a.Request != i+1 {
			t.Errorf("heard request %d in place %d", a.Request, i+1)
		}
	}
	if remembered[0] != heard[20-len(remembered)] {
		t.Error("what is remembered is not the newest")
	}

	none := start(t, Options{Record: -1})
	if err := client(t, none).PublishBatch(within(t), anEvent("c")); err != nil || len(none.Events()) != 0 || none.Stats().Events != 1 {
		t.Errorf("recording is off, but: %v %+v", err, none.Events())
	}
	ctx, cancel := context.WithCancel(within(t))
	cancel()
	if err := none.Wait(ctx, func([]Accepted) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
