// Package forward is the function without a database: it publishes the row of a
// Supabase Database Webhook at once and retries for as long as pg_net is likely to wait.
//
// It promises less than the relay: no seq, no recovery, no order between two webhooks,
// and a webhook that does not arrive is lost, since pg_net never repeats one.
package forward

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/pusher"
	"roomcast/shared/web"
)

// Pusher is what the handler needs of Pusher; *pusher.Client is one. Its errors are
// sorted by [pusher.Classify].
type Pusher interface {
	PublishBatch(ctx context.Context, events []pusher.Event) error
	TerminateUser(ctx context.Context, userID string) error
}

var _ Pusher = (*pusher.Client)(nil)

// Observer is told what became of webhooks and calls, for metrics. Calls come from many
// goroutines and must not block.
type Observer interface {
	Published(events int, took time.Duration, class pusher.Class)
	Forwarded(result string) // published, failed, rejected or nothing
}

// Handler answers POST /webhooks/supabase in forward-only mode. The route checks the secret.
type Handler struct {
	Pusher   Pusher
	Channels event.Channels // of each room; a webhook is one row, and nothing is packed

	// Messages and Members name the tables to publish, each as table or schema.table.
	// A webhook of any other table is refused with 422.
	Messages   []string
	Members    []string
	RoomColumn string
	UserColumn string // of Members: whose connections end when the row is deleted

	Limit    time.Duration // for all attempts of one webhook
	Observer Observer
	Log      *slog.Logger
}

// ServeHTTP publishes what the webhook says and then answers 202. Its errors are
// answers: 422 names the field at fault, 502 and 503 say that Pusher did not accept it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	hook, err := readWebhook(w, r)
	if err != nil {
		return err
	}
	if !hook.isWakeUp() {
		result, err := h.publish(r.Context(), hook)
		h.Observer.Forwarded(result)
		if err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// publish returns what became of the webhook as a word for metrics, and the answer
// where that is an error.
func (h *Handler) publish(ctx context.Context, hook Webhook) (result string, err error) {
	changes, err := h.changes(hook)
	if err != nil {
		return "rejected", err
	}
	batch, err := h.events(changes)
	switch {
	case err != nil:
		return "rejected", err
	case len(batch) == 0:
		return "nothing", nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.Limit)
	defer cancel()
	err = h.retry(ctx, func() error {
		start := time.Now()
		err := h.Pusher.PublishBatch(ctx, batch)
		h.Observer.Published(len(batch), time.Since(start), pusher.Classify(err))
		return err
	})
	if err == nil {
		err = h.disconnect(ctx, changes)
	}
	if err != nil {
		return "failed", err
	}
	return "published", nil
}

// disconnect ends the connections of users who left a room, after user-left. There is
// no queue to keep the task in: if it does not succeed within the request it is not
// done, and the answer says so.
func (h *Handler) disconnect(ctx context.Context, changes []event.Change) error {
	for _, c := range changes {
		if !c.IsDeparture() {
			continue
		}
		user, known, err := column(c.Record, "old_record", h.UserColumn)
		if err != nil || !known {
			h.Log.Warn("a membership row without a user ends nobody's access", slog.Any("err", err))
			continue
		}
		if err := h.retry(ctx, func() error { return h.Pusher.TerminateUser(ctx, user) }); err != nil {
			return err
		}
	}
	return nil
}

// events makes the events of all changes, for every kind of channel.
func (h *Handler) events(changes []event.Change) (batch []pusher.Event, err error) {
	for _, c := range changes {
		events, err := pusher.Events(c, h.Channels.Carriers(c.Room), 0)
		if err != nil {
			return nil, &web.Error{Status: http.StatusUnprocessableEntity, Field: "record", Reason: err.Error()}
		}
		batch = append(batch, events...)
	}
	return batch, nil
}

// changes reads a webhook as the capture trigger reads a row: an UPDATE that changed
// nothing is no change, a row that moved is deleted in one room and new in the other.
func (h *Handler) changes(hook Webhook) ([]event.Change, error) {
	kind, keys, err := h.tableOf(hook)
	if err != nil {
		return nil, err
	}
	var out []event.Change
	add := func(op event.Op, field string, record json.RawMessage) error {
		room, known, err := column(record, field, h.RoomColumn)
		if err != nil {
			return err
		}
		if !known {
			h.Log.Warn("a row without a room is not relayed", slog.String("table", hook.Table))
			return nil
		}
		key := event.RoomKey(room) // what users call a room may look like the key of another stream
		if _, err := event.ChannelName(event.Private, key); err != nil {
			return &web.Error{Status: http.StatusUnprocessableEntity, Field: field + "." + h.RoomColumn, Reason: err.Error()}
		}
		out = append(out, event.Change{Kind: kind, Op: op, Room: key, Record: record, Keys: keys})
		return nil
	}
	switch op := event.Op(hook.Type); op {
	case event.Insert:
		err = add(op, "record", hook.Record)
	case event.Delete:
		err = add(op, "old_record", hook.OldRecord)
	default:
		same, sameErr := sameRow(hook, keys)
		switch {
		case sameErr != nil:
			err = sameErr
		case same && bytes.Equal(hook.Record, hook.OldRecord): // nothing changed
		case same:
			err = add(event.Update, "record", hook.Record)
		default:
			if err = add(event.Delete, "old_record", hook.OldRecord); err == nil {
				err = add(event.Insert, "record", hook.Record)
			}
		}
	}
	return out, err
}

// tableOf says what kind of table a webhook comes from and which columns identify its
// rows. A table that is not configured is a 422: its rows could be anything.
func (h *Handler) tableOf(hook Webhook) (event.Kind, []string, error) {
	names := func(list []string) bool {
		return slices.Contains(list, hook.Table) || slices.Contains(list, hook.Schema+"."+hook.Table)
	}
	switch {
	case names(h.Messages):
		return event.Rows, []string{"id", h.RoomColumn}, nil
	case names(h.Members):
		return event.Members, []string{h.UserColumn, h.RoomColumn}, nil
	}
	return "", nil, &web.Error{Status: http.StatusUnprocessableEntity, Field: "table", Reason: "is in neither MESSAGES_TABLES nor MEMBERS_TABLES"}
}

// sameRow reports whether an UPDATE left the row's identity and room unchanged.
func sameRow(hook Webhook, keys []string) (bool, error) {
	was, err := event.Pick(hook.OldRecord, keys)
	if err != nil {
		return false, web.BadRequest("old_record", err.Error())
	}
	is, err := event.Pick(hook.Record, keys)
	if err != nil {
		return false, web.BadRequest("record", err.Error())
	}
	return bytes.Equal(was, is), nil
}
