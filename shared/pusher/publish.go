package pusher

import (
	"context"
	"fmt"

	gopusher "github.com/pusher/pusher-http-go/v5"
)

// Event is what browsers in Channel receive under Name.
type Event struct {
	Channel string
	Name    string
	Data    []byte // UTF-8, usually JSON; sent as it is, at most DataLimit(Channel) bytes
	// SocketID, if not empty, is the one connection that shall not receive the event.
	SocketID string
}

// Publish sends one event. A nil error means Pusher accepted it. The errors are those of
// PublishBatch, without the EventError around a limit.
func (c *Client) Publish(ctx context.Context, e Event) error {
	const op = "publish"
	if err := c.checkEvent(e); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	var params gopusher.TriggerParams
	if e.SocketID != "" {
		params.SocketID = &e.SocketID
	}
	return c.send(ctx, op, func(lib *gopusher.Client) error {
		_, err := lib.TriggerWithParams(e.Channel, e.Name, e.Data, params)
		return err
	})
}

// PublishBatch sends 1 to MaxBatch events, of any channels, in one request, in order.
// Encrypted channels may be among them: each event of a batch has its own channel, so each
// is sealed with its channel's key. Nil means Pusher accepted all of them.
//
// Errors: ErrNoEvents, ErrTooMany, or an *EventError around the limit that an event breaks
// (nothing was sent); *Error for an answer other than 2xx; else the network's or the
// context's error, after which it is unknown whether the events are out. Classify sorts them.
func (c *Client) PublishBatch(ctx context.Context, events []Event) error {
	const op = "publish batch"
	if len(events) == 0 {
		return fmt.Errorf("%s: %w", op, ErrNoEvents)
	}
	if len(events) > MaxBatch {
		return fmt.Errorf("%s: %w", op, ErrTooMany)
	}
	batch := make([]gopusher.Event, len(events))
	for i, e := range events {
		if err := c.checkEvent(e); err != nil {
			return fmt.Errorf("%s: %w", op, &EventError{Index: i, Err: err})
		}
		// As []byte the data passes the library untouched; other types it would marshal.
		batch[i] = gopusher.Event{Channel: e.Channel, Name: e.Name, Data: e.Data}
		if e.SocketID != "" {
			batch[i].SocketID = &e.SocketID
		}
	}
	return c.send(ctx, op, func(lib *gopusher.Client) error {
		_, err := lib.TriggerBatch(batch)
		return err
	})
}
