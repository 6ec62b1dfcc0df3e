package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"

	"roomcast/shared/admin"
	"roomcast/shared/event"
	"roomcast/shared/pusher"
)

// Sending again, and what it means for the promises.
//
// A redriven event keeps its seq and goes out beside the relay's own stream, as a
// repeat: the room's sent_seq and its lease are not touched. Only what the relay has
// passed can be redriven (accepted, or parked), so no event is sent for the first
// time before the one ahead of it. roomcast.js drops what it has seen or fetched
// already; a handler without it shows a repeat twice, as it would any other.
//
// Rows are not packed: there are few of them, and any event may travel as itself.
//
// The data are the row's as it is today: a message that was deleted meanwhile goes
// out as its deletion. What Pusher takes is no longer parked.

// parkedShownAll bounds a redrive of everything parked; it can be run again.
const parkedShownAll = 10_000

func setUpRedrive(flags *flag.FlagSet) func(context.Context, *call) (int, error) {
	parked := flags.Bool("parked", false, "all parked events, of one room or of all")
	dry := flags.Bool("dry-run", false, "only list what would be sent")
	return func(ctx context.Context, c *call) (int, error) {
		op, err := c.operator()
		if err != nil {
			return exitFailed, err
		}
		defer op.Close()
		r := &redrive{call: c, op: op, dry: *dry}
		if *parked {
			return r.parked(ctx)
		}
		return r.span(ctx)
	}
}

// redrive is one run of the command.
type redrive struct {
	*call
	op     admin.Operator
	dry    bool
	kinds  event.Channels
	client *pusher.Client
	done   redriven
}

// redriven is the result, for machines.
type redriven struct {
	DryRun  bool         `json:"dry_run"`
	Sent    int          `json:"sent"`
	Refused []refusedRow `json:"refused"`
	Events  []placeJSON  `json:"events"`
}

type placeJSON struct {
	Room string `json:"room"`
	Seq  int64  `json:"seq"`
}

type refusedRow struct {
	placeJSON
	Reason string `json:"reason"`
}

// parked sends all parked events, of one room or of all.
func (r *redrive) parked(ctx context.Context) (int, error) {
	room := ""
	switch len(r.args) {
	case 0:
	case 1:
		room = r.args[0]
	default:
		return exitFailed, errUsage
	}
	list, err := r.op.ParkedEvents(ctx, room, parkedShownAll)
	if err != nil {
		return exitFailed, err
	}
	var rows []admin.Sent
	for _, p := range list {
		sent, err := r.op.SentAgain(ctx, p.Room, p.Seq, p.Seq)
		if err != nil {
			return exitFailed, err
		}
		rows = append(rows, sent...)
	}
	return r.run(ctx, rows)
}

// span sends ROOM SEQ, or ROOM from SEQ to LAST.
func (r *redrive) span(ctx context.Context) (int, error) {
	if len(r.args) != 2 && len(r.args) != 3 {
		return exitFailed, errUsage
	}
	first, err1 := strconv.ParseInt(r.args[1], 10, 64)
	last, err2 := strconv.ParseInt(r.args[len(r.args)-1], 10, 64)
	if errors.Join(err1, err2) != nil || first < 1 || last < first {
		return exitFailed, fmt.Errorf("SEQ and LAST must be numbers, LAST not before SEQ")
	}
	rows, err := r.op.SentAgain(ctx, r.args[0], first, last)
	if err != nil {
		return exitFailed, err
	}
	return r.run(ctx, rows)
}

// run sends rows and reports. What Pusher refuses stays parked, and the rest goes on;
// whatever else goes wrong ends the run, which can be run again.
func (r *redrive) run(ctx context.Context, rows []admin.Sent) (code int, err error) {
	r.done = redriven{DryRun: r.dry, Refused: []refusedRow{}, Events: []placeJSON{}}
	if len(rows) == 0 {
		if !r.out.json {
			r.out.line("nothing to send again: what is asked for is waiting still, is past the retention, or never was")
			return exitWarning, nil
		}
		return exitWarning, r.out.encode(r.done)
	}
	if r.kinds, err = r.settings.channels(); err != nil {
		return exitFailed, err
	}
	if !r.dry {
		if r.client, err = r.settings.pusher(); err != nil {
			return exitFailed, err
		}
		err = r.sendAll(ctx, rows)
	}
	return r.report(rows, err)
}

func (r *redrive) report(rows []admin.Sent, failed error) (int, error) {
	for _, row := range rows {
		r.done.Events = append(r.done.Events, placeJSON{row.Change.Room, row.Seq})
		if r.dry && !r.out.json {
			why := ""
			if row.Parked != "" {
				why = "  parked: " + row.Parked
			}
			r.out.line("  %s  seq %d  %s%s", row.Change.Room, row.Seq, row.Change.Op, why)
		}
	}
	code := exitOK
	if len(r.done.Refused) > 0 {
		code = exitWarning
	}
	if r.out.json {
		return code, errors.Join(failed, r.out.encode(r.done))
	}
	for _, no := range r.done.Refused {
		r.out.line("  %s  seq %d  %s", no.Room, no.Seq, r.out.worry("refused: "+no.Reason))
	}
	if r.dry {
		r.out.line("would send %s again, under their seq", count(int64(len(rows)), "event"))
	} else {
		r.out.line("sent %s of %s again, under their seq", number(int64(r.done.Sent)), count(int64(len(rows)), "event"))
	}
	return code, failed
}

// sendAll sends rows in order, as many at once as Pusher takes, batches of one room.
func (r *redrive) sendAll(ctx context.Context, rows []admin.Sent) error {
	for len(rows) > 0 {
		n, err := r.sendSome(ctx, rows)
		if err != nil {
			return fmt.Errorf("stopped at room %s seq %d (run it again to go on): %w", rows[0].Change.Room, rows[0].Seq, err)
		}
		rows = rows[n:]
	}
	return nil
}

// sendSome sends the longest batch at the beginning of rows, and returns how many
// rows are dealt with.
func (r *redrive) sendSome(ctx context.Context, rows []admin.Sent) (int, error) {
	var batch []pusher.Event
	n, kinds := 0, r.kinds.Carriers(rows[0].Change.Room)
	for n < len(rows) && rows[n].Change.Room == rows[0].Change.Room {
		events, err := pusher.Events(rows[n].Change, kinds, pusher.ChannelsDataLimit(kinds))
		if err != nil && n == 0 {
			r.refuse(rows[0], err)
			return 1, nil
		}
		if err != nil || len(batch)+len(events) > pusher.MaxBatch {
			break
		}
		batch = append(batch, events...)
		n++
	}
	if len(batch) == 0 { // browsers are told nothing of these
		return n, r.accepted(ctx, rows[:n])
	}
	err := r.client.PublishBatch(ctx, batch)
	switch pusher.Classify(err) {
	case pusher.Accepted:
		return n, r.accepted(ctx, rows[:n])
	case pusher.Rejected:
		if n == 1 {
			r.refuse(rows[0], err)
			return 1, nil
		}
		return r.sendSome(ctx, rows[:n/2]) // the rejected one is found by halving
	}
	return 0, err
}

func (r *redrive) refuse(row admin.Sent, err error) {
	r.done.Refused = append(r.done.Refused, refusedRow{placeJSON{row.Change.Room, row.Seq}, err.Error()})
}

// accepted counts the rows, and takes them off the list of what was given up.
func (r *redrive) accepted(ctx context.Context, rows []admin.Sent) error {
	r.done.Sent += len(rows)
	var parked []int64
	for _, row := range rows {
		if row.Parked != "" {
			parked = append(parked, row.Seq)
		}
	}
	if len(parked) == 0 {
		return nil
	}
	return r.op.Unpark(ctx, rows[0].Change.Room, parked)
}
