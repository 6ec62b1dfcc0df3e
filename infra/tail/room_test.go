package tail

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// story is one of testdata/protocol; see the README there.
type story struct {
	User  string
	Room  string
	After *struct {
		Seq   int64
		Epoch string
	}
	Steps []struct {
		Subscribed string
		Pushed     *struct {
			Event string
			Data  json.RawMessage
		}
		Asked *struct {
			After int64
			Epoch string
			Limit *int
		}
		Status int
		Answer json.RawMessage
		Shown  *[]string
	}
}

type question struct {
	Query
	answer chan answer
}

type answer struct {
	page   Page
	status int
}

// A client that follows the page tells every story as it should end.
func TestProtocol(t *testing.T) {
	paths, err := filepath.Glob("../../testdata/protocol/*.json")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d stories, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var s story
			if err := json.Unmarshal(text, &s); err != nil {
				t.Fatal(err)
			}
			s.run(t)
		})
	}
}

func (s story) run(t *testing.T) {
	pushed, questions, shown := make(chan Event, 1000), make(chan question), make(chan string, 1000)
	room := &Room{ID: s.Room, User: s.User, Pushed: pushed, Show: func(e Event) { shown <- label(e) },
		Ask: func(ctx context.Context, q Query) (Page, int, error) {
			asked := question{q, make(chan answer)}
			select {
			case questions <- asked:
			case <-ctx.Done():
				return Page{}, 0, ctx.Err()
			}
			select {
			case a := <-asked.answer:
				return a.page, a.status, nil
			case <-ctx.Done():
				return Page{}, 0, ctx.Err()
			}
		}}
	if s.After != nil {
		room.next, room.epoch = s.After.Seq+1, s.After.Epoch
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { room.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	for i, step := range s.Steps {
		switch {
		case step.Subscribed != "":
			pushed <- Event{Name: "subscribed"}
		case step.Pushed != nil:
			events := []Event{{Name: step.Pushed.Event, Data: step.Pushed.Data}}
			if step.Pushed.Event == "packed" {
				events = unpack(step.Pushed.Data)
			}
			for _, e := range events {
				pushed <- e
			}
		case step.Asked != nil:
			select {
			case q := <-questions:
				where := step.Asked.Limit != nil && *step.Asked.Limit == 0
				if q.Where != where || !where && (q.After != step.Asked.After || q.Epoch != step.Asked.Epoch) {
					t.Fatalf("step %d: asked %+v, want %+v", i, q.Query, step.Asked)
				}
				a := answer{status: step.Status}
				if step.Status == 200 && json.Unmarshal(step.Answer, &a.page) != nil {
					a.page = Page{} // nonsense: no page
				}
				q.answer <- a
			case <-time.After(30 * time.Second): // PROTOCOL.md says five, on a machine that does nothing else
				t.Fatalf("step %d: nothing was asked, want %+v", i, step.Asked)
			}
		case step.Shown != nil:
			s.compare(t, i, *step.Shown, shown)
		}
	}
}

// compare waits for what is to be shown, and a moment longer for what is not.
func (s story) compare(t *testing.T, step int, want []string, shown <-chan string) {
	t.Helper()
	var got []string
	for {
		wait := 50 * time.Millisecond
		if len(got) < len(want) {
			wait = 20 * time.Second
		}
		select {
		case one := <-shown:
			got = append(got, one)
			continue
		case <-time.After(wait):
		}
		if !slices.Equal(got, want) {
			t.Fatalf("step %d: shown %q, want %q", step, got, want)
		}
		return
	}
}

func label(e Event) string {
	var row struct{ ID string }
	_ = json.Unmarshal(e.Data, &row) // the room's own words have none
	text := e.Name
	if e.Reason != "" {
		text += " " + e.Reason
	}
	if row.ID != "" {
		text += " " + row.ID
	}
	return text
}
