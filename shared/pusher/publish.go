package pusher

import (
	"context"
	"fmt"
	"strconv"

	gopusher "github.com/pusher/pusher-http-go/v5"
)

// Event is what browsers in Channel receive under Name.
type Event struct {
	Channel string
	Name    string
	Data    []byte // UTF-8, usually JSON; sent as it is, at most DataLimit(Channel) bytes
}

// PublishBatch sends 1 to MaxBatch events, of any channels, in one request, in order.
// Encrypted channels may be among them: each event of a batch has its own channel, so each
// is sealed with its channel's key. Nil means Pusher accepted all of them.
//
// A request whose reused connection ended before any byte of an answer is sent again at
// once over a new one: Pusher may then have it twice.
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
	sealed := false
	for i := range events {
		if err := c.checkEvent(&events[i]); err != nil {
			return fmt.Errorf("%s: %w", op, &EventError{Index: i, Err: err})
		}
		sealed = sealed || isEncrypted(events[i].Channel)
	}
	if sealed {
		return c.publishSealed(ctx, op, events)
	}
	buffer := c.buffers.get()
	defer c.buffers.put(buffer)
	request := c.batchRequest(buffer, events)
	return c.under(ctx, op, func(ctx context.Context) error {
		_, err := c.exchange(ctx, op, request)
		return err
	})
}

// publishSealed has pusher-http-go seal what goes to encrypted channels.
func (c *Client) publishSealed(ctx context.Context, op string, events []Event) error {
	batch := make([]gopusher.Event, len(events))
	for i, e := range events {
		// As []byte the data passes the library untouched; other types it would marshal.
		batch[i] = gopusher.Event{Channel: e.Channel, Name: e.Name, Data: e.Data}
	}
	return c.send(ctx, op, func(lib *gopusher.Client) error {
		_, err := lib.TriggerBatch(batch)
		return err
	})
}

// batchRequest writes the whole HTTP request into the buffer. The head tells the body's
// length and MD5, so the body is written first, behind room for the head.
func (c *Client) batchRequest(buffer *buffer, events []Event) []byte {
	room := c.headRoom
	b := appendBatch(append(buffer.bytes[:0], make([]byte, room)...), events)
	buffer.bytes = b // also when it has grown
	body := b[room:]
	var stack [1024]byte
	head := append(append(stack[:0], "POST "...), c.batchPath...)
	head = c.appendQuery(append(head, '?'), c.batchPath, body, c.cfg.Now())
	head = append(head, c.batchHead...)
	head = append(strconv.AppendInt(head, int64(len(body)), 10), "\r\n\r\n"...)
	start := room - len(head)
	copy(b[start:], head)
	return b[start:]
}
