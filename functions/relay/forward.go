package relay

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

// Forward is the relay without a database: it publishes the webhook's own row at
// once and tries again for as long as pg_net is likely to wait. There is no seq, no
// recovery and no order between two webhooks; a webhook that does not arrive is
// lost, since pg_net never repeats one.
type Forward struct {
	Publisher  Publisher
	Channels   event.Channels // of each room; a webhook is one row, and nothing is packed
	Members    []string       // tables of membership; every other one holds messages
	RoomColumn string
	UserColumn string
	Terminator Terminator    // ends the connections of who left a room; nil: nobody does
	Limit      time.Duration // for all tries of one webhook
	Observer   Observer
	Log        *slog.Logger
}

// forwardBackoff paces the tries within one request.
var forwardBackoff = span{50 * time.Millisecond, time.Second}

// Publish sends what a webhook means. Its errors are answers: 422 names the field
// that is missing, 502 and 503 say that Pusher did not take it.
func (f *Forward) Publish(ctx context.Context, hook Webhook) error {
	changes, err := f.changes(hook)
	if err != nil {
		f.Observer.Forwarded("rejected")
		return err
	}
	batch, err := f.batch(changes)
	if err != nil {
		f.Observer.Forwarded("rejected")
		return err
	}
	if len(batch) == 0 {
		f.Observer.Forwarded("nothing")
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, f.Limit)
	defer cancel()
	err = f.try(ctx, func() error {
		start := time.Now()
		err := f.Publisher.PublishBatch(ctx, batch)
		f.Observer.Published(len(batch), time.Since(start), pusher.Classify(err))
		return err
	})
	if err == nil {
		err = f.cut(ctx, changes)
	}
	if err != nil {
		f.Observer.Forwarded("failed")
		return err
	}
	f.Observer.Forwarded("published")
	return nil
}

// cut ends the connections of those who left a room, behind user-left. There is
// nothing to keep the task in: what does not succeed within the request is not done,
// and the answer says so.
func (f *Forward) cut(ctx context.Context, changes []event.Change) error {
	for _, c := range changes {
		if f.Terminator == nil || !departs(c) {
			continue
		}
		user, known, err := column(c.Record, "old_record", f.UserColumn)
		if err != nil || !known {
			f.Log.Warn("a membership row without a user ends nobody's access", slog.Any("err", err))
			continue
		}
		if err := f.try(ctx, func() error { return f.Terminator.TerminateUser(ctx, user) }); err != nil {
			return err
		}
	}
	return nil
}

// try makes a call until Pusher accepts, refuses for good, or ctx ends.
func (f *Forward) try(ctx context.Context, call func() error) error {
	var wait backoff
	for {
		err := call()
		switch class := pusher.Classify(err); class {
		case pusher.Accepted:
			return nil
		case pusher.Rejected:
			return &web.Error{Status: http.StatusUnprocessableEntity, Field: "record", Reason: "pusher does not take this event", Err: err}
		case pusher.Credentials, pusher.Refused:
			return &web.Error{Status: http.StatusBadGateway, Reason: pauseText(class), Err: err}
		}
		wait.next(forwardBackoff)
		if after, _ := askedToWait(err); time.Now().Add(after).After(wait.until) {
			wait.until = time.Now().Add(after)
		}
		if deadline, ok := ctx.Deadline(); ok && wait.until.After(deadline) || ctx.Err() != nil {
			return web.Unavailable("pusher did not take it; it is lost unless the webhook is sent again", time.Second, err)
		}
		timer := time.NewTimer(time.Until(wait.until))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// batch makes the events of all changes, for every kind of channel.
func (f *Forward) batch(changes []event.Change) ([]pusher.Event, error) {
	var batch []pusher.Event
	for _, c := range changes {
		e, ok, err := event.Translate(c, 0)
		if err != nil {
			return nil, &web.Error{Status: http.StatusUnprocessableEntity, Field: "record", Reason: err.Error()}
		}
		if !ok {
			continue
		}
		for _, kind := range f.Channels.Of(e.Room) {
			channel, err := event.ChannelName(kind, e.Room)
			if err != nil {
				return nil, &web.Error{Status: http.StatusUnprocessableEntity, Field: "record." + f.RoomColumn, Reason: err.Error()}
			}
			batch = append(batch, pusher.Event{Channel: channel, Name: e.Name, Data: e.Data})
		}
	}
	return batch, nil
}

// changes reads a webhook the way the capture trigger reads a row: an edit that
// changed nothing is none, a row that moved is gone in one room and new in another.
func (f *Forward) changes(hook Webhook) ([]event.Change, error) {
	kind, keys := event.Messages, []string{"id", f.RoomColumn}
	if slices.Contains(f.Members, hook.Table) {
		kind, keys = event.Members, []string{f.UserColumn, f.RoomColumn}
	}
	change := func(op event.Op, field string, record json.RawMessage) (event.Change, bool, error) {
		room, known, err := column(record, field, f.RoomColumn)
		if err == nil && !known {
			f.Log.Warn("a row without a room is not relayed", slog.String("table", hook.Table))
		}
		return event.Change{Kind: kind, Op: op, Room: room, Record: record, Keys: keys}, known, err
	}
	var out []event.Change
	add := func(op event.Op, field string, record json.RawMessage) error {
		c, known, err := change(op, field, record)
		if err == nil && known {
			out = append(out, c)
		}
		return err
	}
	switch op := event.Op(hook.Type); op {
	case event.Insert:
		err := add(op, "record", hook.Record)
		return out, err
	case event.Delete:
		err := add(op, "old_record", hook.OldRecord)
		return out, err
	default:
		same, err := f.sameRow(hook, keys)
		switch {
		case err != nil:
			return nil, err
		case same && bytes.Equal(hook.Record, hook.OldRecord):
			return nil, nil
		case same:
			err = add(event.Update, "record", hook.Record)
			return out, err
		}
		if err := add(event.Delete, "old_record", hook.OldRecord); err != nil {
			return nil, err
		}
		err = add(event.Insert, "record", hook.Record)
		return out, err
	}
}

// sameRow reports whether an UPDATE left the row's identity and room alone.
func (f *Forward) sameRow(hook Webhook, keys []string) (bool, error) {
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
