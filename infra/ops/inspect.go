package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"roomcast/shared/admin"
	"roomcast/shared/event"
)

// How much of a room is shown.
const (
	passedShown  = 5
	waitingShown = 20
	parkedShown  = 20
)

func setUpInspect(*flag.FlagSet) func(context.Context, *call) (int, error) {
	return func(ctx context.Context, c *call) (int, error) {
		if len(c.args) != 1 {
			return exitFailed, errUsage
		}
		op, err := c.operator()
		if err != nil {
			return exitFailed, err
		}
		defer op.Close()
		return inspect(ctx, c, op, c.args[0])
	}
}

func inspect(ctx context.Context, c *call, op admin.Operator, id string) (int, error) {
	room, err := op.Room(ctx, id)
	if errors.Is(err, admin.ErrUnknown) {
		c.out.line("nothing in room %s has been numbered yet: no relay has claimed a row of it, or there never was one", id)
		return exitWarning, nil
	}
	if err != nil {
		return exitFailed, err
	}
	status, err := op.Status(ctx)
	if err != nil {
		return exitFailed, err
	}
	lives, err := op.Lives(ctx, id, room.Sent-passedShown+1, room.Sent+waitingShown)
	if err != nil {
		return exitFailed, err
	}
	parked, err := op.ParkedEvents(ctx, id, parkedShown)
	if err != nil {
		return exitFailed, err
	}
	if c.out.json {
		return exitOK, c.out.encode(roomJSON(room, lives, parked))
	}
	drawRoom(c, room, status.Awake > 0)
	for _, p := range parked {
		c.out.field("parked", "%s", c.out.worry(fmt.Sprintf("seq %d: %s", p.Seq, p.Reason)))
	}
	c.out.line("")
	for _, l := range lives {
		drawLifeLine(c.out, l, room)
	}
	if rest := room.Head - room.Sent - waitingShown; rest > 0 {
		c.out.line("  … and %s more", number(rest))
	}
	return exitOK, nil
}

func drawRoom(c *call, room admin.RoomState, awake bool) {
	c.out.field("room", "%s", c.out.bold(room.Room))
	if channels, err := c.channels(); err == nil {
		for _, kind := range channels.Of(room.Room) {
			name, err := event.ChannelName(kind, room.Room)
			if err != nil {
				name = c.out.bad("no channel: " + err.Error())
			}
			c.out.field("channel", "%s", name)
		}
	}
	c.out.field("seq", "%s of %s sent, epoch %s, kept from %d on", number(room.Sent), number(room.Head), room.Epoch, room.First)
	waiting := count(room.Head-room.Sent, "row")
	if room.Unnumbered > 0 {
		waiting += fmt.Sprintf(", and %s not yet numbered", number(room.Unnumbered))
	}
	c.out.field("waiting", "%s", waiting)
	c.out.field("lease", "%s (fence %d)", leaseText(room, awake), room.Fence)
}

// leaseText says who may send what waits in a room, and when.
func leaseText(room admin.RoomState, awake bool) string {
	switch {
	case room.Head == room.Sent:
		return "nobody's: nothing waits"
	case room.Holder != "" && room.Due > 0:
		return fmt.Sprintf("held by %s for another %s", room.Holder, span(room.Due))
	case room.Due > 0:
		return "nobody's: it rests after a failure, the next try is in " + span(room.Due)
	case room.Holder != "":
		return fmt.Sprintf("run out: %s took it and did not come back; any relay may take it since %s", room.Holder, span(room.Due))
	case awake:
		return "nobody's: due since " + span(room.Due) + ", the relay is busy with other rooms"
	}
	return "nobody's: due since " + span(room.Due) + ", and the relay sleeps"
}

// drawLifeLine writes an event as one line.
func drawLifeLine(out *printer, l admin.Life, room admin.RoomState) {
	state := out.good("sent   ")
	switch {
	case l.Parked != "":
		state = out.worry("parked ")
	case l.Written.IsZero():
		state = out.dim("deleted")
	case l.Seq > room.Sent:
		state = "waiting"
	}
	out.line("  %6d  %s  %-6s  %s  %s  %s", l.Seq, state, l.Op, l.Written.UTC().Format(time.DateTime), size(int64(l.Bytes)), out.dim(l.Keys))
}

// roomView is a room for machines.
type roomView struct {
	Room       string      `json:"room"`
	Epoch      string      `json:"epoch"`
	Head       int64       `json:"head"`
	Sent       int64       `json:"sent"`
	First      int64       `json:"first_kept"`
	Unnumbered int64       `json:"unnumbered"`
	Fence      int64       `json:"fence"`
	Holder     string      `json:"holder,omitempty"`
	DueSeconds float64     `json:"due_seconds"`
	Events     []lifeJSON  `json:"events"`
	Parked     []parkedRow `json:"parked"`
}

type parkedRow struct {
	Seq    int64     `json:"seq"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

func roomJSON(room admin.RoomState, lives []admin.Life, parked []admin.Parked) roomView {
	v := roomView{
		Room: room.Room, Epoch: room.Epoch, Head: room.Head, Sent: room.Sent, First: room.First, Unnumbered: room.Unnumbered,
		Fence: room.Fence, Holder: room.Holder, DueSeconds: room.Due.Seconds(), Events: []lifeJSON{}, Parked: []parkedRow{},
	}
	for _, l := range lives {
		v.Events = append(v.Events, lifeOf(l, room))
	}
	for _, p := range parked {
		v.Parked = append(v.Parked, parkedRow{p.Seq, p.Reason, p.At})
	}
	return v
}
