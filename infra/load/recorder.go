package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"roomcast/shared/event"
)

// recorder follows the rows of one room as Pusher gets them, packed or not: each must come
// once, and in order, from seq 1 on.
type recorder struct {
	mu       sync.Mutex
	want     int64
	came     int64 // rows so far, and so the last one's seq
	messages int64 // Pusher's, so far
	done     chan error
}

// errRecorder says that a row came twice, too early, or cannot be read.
var errRecorder = errors.New("not every row came once and in order")

func newRecorder(rows int) *recorder { return &recorder{want: int64(rows), done: make(chan error, 1)} }

// note takes the body of a call that the sink accepts.
func (r *recorder) note(body []byte, _ time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var call struct {
		Batch []struct{ Name, Data string }
	}
	if err := json.Unmarshal(body, &call); err != nil {
		r.end(fmt.Errorf("%w: %w", errRecorder, err))
		return
	}
	for _, e := range call.Batch {
		r.messages++
		events := []event.Event{{Name: e.Name, Data: json.RawMessage(e.Data)}}
		if e.Name == event.Pack {
			var err error
			if events, err = event.Unpack([]byte(e.Data)); err != nil {
				r.end(fmt.Errorf("%w: %w", errRecorder, err))
				return
			}
		}
		for _, one := range events {
			r.row(one)
		}
	}
}

func (r *recorder) row(e event.Event) {
	var data struct{ Roomcast event.Position }
	if err := json.Unmarshal(e.Data, &data); err != nil || data.Roomcast.Seq != r.came+1 {
		r.end(fmt.Errorf("%w: seq %d behind %d, %w", errRecorder, data.Roomcast.Seq, r.came, err))
		return
	}
	if r.came++; r.came == r.want {
		r.end(nil)
	}
}

// end keeps the first that is known.
func (r *recorder) end(err error) {
	select {
	case r.done <- err:
	default:
	}
}

// all waits for the last row.
func (r *recorder) all(ctx context.Context) error {
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		return fmt.Errorf("%w: %d of %d", errShort, r.came, r.want)
	}
}

// perThousand is how many Pusher messages a thousand rows were.
func (r *recorder) perThousand() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return 1000 * float64(r.messages) / float64(r.came)
}
