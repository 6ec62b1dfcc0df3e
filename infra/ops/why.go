package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"roomcast/shared/admin"
)

func setUpWhy(*flag.FlagSet) func(context.Context, *call) (int, error) {
	return func(ctx context.Context, c *call) (int, error) {
		if len(c.args) != 1 && len(c.args) != 2 {
			return exitFailed, errUsage
		}
		op, err := c.operator()
		if err != nil {
			return exitFailed, err
		}
		defer op.Close()
		lives, err := find(ctx, op, c.args)
		if err != nil {
			return exitFailed, err
		}
		if len(lives) == 0 {
			return explainAbsence(ctx, c, op)
		}
		return exitOK, tell(ctx, c.out, op, lives)
	}
}

// find looks up the event ROOM SEQ, or all events of the row ID.
func find(ctx context.Context, op admin.Operator, args []string) ([]admin.Life, error) {
	if len(args) == 1 {
		return op.LivesOf(ctx, args[0])
	}
	seq, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil || seq < 1 {
		return nil, fmt.Errorf("SEQ must be a number from 1 on, not %q", args[1])
	}
	return op.Lives(ctx, args[0], seq, seq)
}

// tell writes the lives, one after the other.
func tell(ctx context.Context, out *printer, op admin.Operator, lives []admin.Life) error {
	status, err := op.Status(ctx)
	if err != nil {
		return err
	}
	for i, l := range lives {
		room, err := op.Room(ctx, l.Room)
		if err != nil && !errors.Is(err, admin.ErrUnknown) { // unknown: none of its rows is numbered
			return err
		}
		if out.json {
			if err := out.encode(lifeOf(l, room)); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			out.line("")
		}
		drawLife(out, l, room, status.Awake > 0)
	}
	return nil
}

func drawLife(out *printer, l admin.Life, room admin.RoomState, awake bool) {
	place := "not numbered yet"
	if l.Seq > 0 {
		place = fmt.Sprintf("seq %d", l.Seq)
	}
	out.line("%s %s of room %s", out.bold(place), out.dim("("+verdictOf(l, room)+")"), l.Room)
	if l.Written.IsZero() {
		out.field("written", "somebody deleted the row from roomcast.outbox by hand; its seq is passed over")
	} else {
		out.field("written", "%s UTC: %s on %s, %s, %s", l.Written.UTC().Format("2006-01-02 15:04:05.000"), l.Op, l.Table, l.Keys, size(int64(l.Bytes)))
	}
	if l.Seq > 0 {
		out.field("numbered", "%s later, under epoch %s", span(l.Numbered.Sub(l.Written)), room.Epoch)
	}
	for _, line := range explain(out, l, room, awake) {
		out.field(line[0], "%s", line[1])
	}
}

// The verdicts.
const (
	isWaiting  = "waiting"
	isAccepted = "accepted"
	isParked   = "parked"
	isDeleted  = "deleted by hand"
)

func verdictOf(l admin.Life, room admin.RoomState) string {
	switch {
	case l.Parked != "":
		return isParked
	case l.Seq == 0 || l.Seq > room.Sent:
		return isWaiting
	case l.Written.IsZero():
		return isDeleted
	}
	return isAccepted
}

// explain says what happened to an event and what will: pairs of a name and a text.
func explain(out *printer, l admin.Life, room admin.RoomState, awake bool) (lines [][2]string) {
	add := func(name, format string, args ...any) {
		lines = append(lines, [2]string{name, fmt.Sprintf(format, args...)})
	}
	switch verdictOf(l, room) {
	case isParked:
		add("parked", "%s UTC: %s", l.ParkedAt.UTC().Format(time.DateTime), out.worry(l.Parked))
		add("so", "browsers see the gap and fetch it over HTTP; ops redrive %s %d sends it once more", l.Room, l.Seq)
	case isAccepted:
		add("accepted", "%s", acceptedText(l, room))
		if l.KeptFor > 0 {
			add("kept", "for another %s, for browsers that catch up", span(l.KeptFor))
		} else {
			add("kept", "not for long: its retention is over")
		}
	case isWaiting:
		if l.Seq == 0 && awake {
			add("waiting", "the relay is awake and numbers it with its next claim; if it does not, ask ops doctor")
		} else if l.Seq == 0 {
			add("waiting", "the relay sleeps; a wake-up is on its way; if it is lost, the next sweep sends another")
		} else {
			add("waiting", "the room is %s", leaseText(room, awake))
		}
		if ahead := l.Seq - room.Sent - 1; ahead > 0 {
			add("behind", "%s, the first is seq %d: ops why %s %d", count(ahead, "event"), room.Sent+1, l.Room, room.Sent+1)
		}
	}
	return lines
}

// acceptedText says when Pusher accepted an event. A room knows the time of its last one
// only: an earlier one was accepted by then.
func acceptedText(l admin.Life, room admin.RoomState) string {
	at := room.Accepted.UTC().Format("2006-01-02 15:04:05.000") + " UTC"
	switch {
	case room.Accepted.IsZero():
		return fmt.Sprintf("Pusher has taken everything up to seq %d", room.Sent)
	case l.Seq == room.Sent:
		return fmt.Sprintf("%s by Pusher, %s after it was written", at, span(room.Accepted.Sub(l.Written)))
	}
	return fmt.Sprintf("by %s: Pusher has taken everything up to seq %d", at, room.Sent)
}

// explainAbsence says why there may be no trace of an event.
func explainAbsence(ctx context.Context, c *call, op admin.Operator) (int, error) {
	if c.out.json {
		return exitWarning, nil // no document: nothing was found
	}
	if len(c.args) == 2 {
		return exitWarning, absentSeq(ctx, c, op)
	}
	rows, err := op.Rows(ctx, c.args[0])
	if err != nil {
		return exitFailed, err
	}
	if len(rows) == 0 {
		c.out.line("no attached table has a row %s, and the outbox keeps nothing of one", c.args[0])
		c.out.line("it was rolled back, or deleted longer ago than the retention, or is of a table that is not attached")
	}
	for _, table := range slices.Sorted(maps.Keys(rows)) {
		if !rows[table] {
			c.out.line("%s has the row, but its room is null: a row without a room is not relayed", table)
			continue
		}
		c.out.line("%s has the row, and the outbox keeps nothing of it: it was written before the table was attached,", table)
		c.out.line("with roomcast.capture off or a disabled trigger (ops doctor checks), or was sent longer ago than the retention")
	}
	return exitWarning, nil
}

func absentSeq(ctx context.Context, c *call, op admin.Operator) error {
	room, err := op.Room(ctx, c.args[0])
	switch {
	case errors.Is(err, admin.ErrUnknown):
		c.out.line("nothing in room %s has been numbered yet", c.args[0])
	case err != nil:
		return err
	default:
		c.out.line("room %s has numbered up to seq %d, and keeps them from %d on: older ones were sent and are past the retention",
			c.args[0], room.Head, room.First)
	}
	return nil
}

// lifeJSON is an event's life for machines.
type lifeJSON struct {
	Room     string          `json:"room"`
	Seq      int64           `json:"seq,omitempty"`
	OutboxID int64           `json:"outbox_id"`
	Verdict  string          `json:"verdict"`
	Table    string          `json:"table,omitempty"`
	Op       string          `json:"op,omitempty"`
	Keys     json.RawMessage `json:"keys,omitempty"`
	Bytes    int             `json:"bytes,omitempty"`
	Written  *time.Time      `json:"written,omitempty"`
	Numbered *time.Time      `json:"numbered,omitempty"`
	Parked   string          `json:"parked,omitempty"`
}

func lifeOf(l admin.Life, room admin.RoomState) lifeJSON {
	return lifeJSON{
		Room: l.Room, Seq: l.Seq, OutboxID: l.OutboxID, Verdict: verdictOf(l, room), Table: l.Table, Op: l.Op,
		Keys: json.RawMessage(l.Keys), Bytes: l.Bytes, Written: known(l.Written), Numbered: known(l.Numbered), Parked: l.Parked,
	}
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
