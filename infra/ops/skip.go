package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"

	"roomcast/shared/admin"
)

// setUpSkip: the last resort for a room that cannot get past its first event. SEQ
// must be given, so that nobody skips an event that another one has taken the place
// of meanwhile.
func setUpSkip(flags *flag.FlagSet) func(context.Context, *call) (int, error) {
	reason := flags.String("reason", "", "why, for the operator who finds it parked (required)")
	dry := flags.Bool("dry-run", false, "only say what would be done")
	return func(ctx context.Context, c *call) (int, error) {
		if len(c.args) != 2 || *reason == "" {
			return exitFailed, errUsage
		}
		seq, err := strconv.ParseInt(c.args[1], 10, 64)
		if err != nil {
			return exitFailed, errUsage
		}
		op, err := c.operator()
		if err != nil {
			return exitFailed, err
		}
		defer op.Close()
		return skip(ctx, c, op, c.args[0], seq, *reason, *dry)
	}
}

// skipReport is what was skipped, or would be, for machines.
type skipReport struct {
	DryRun bool     `json:"dry_run"`
	Event  lifeJSON `json:"event"`
}

func skip(ctx context.Context, c *call, op admin.Operator, id string, seq int64, reason string, dry bool) (int, error) {
	room, err := op.Room(ctx, id)
	if err != nil {
		return exitFailed, err
	}
	if room.Sent == room.Head || seq != room.Sent+1 {
		return exitFailed, fmt.Errorf("room %s is not stuck at seq %d: %s of %s are sent", id, seq, number(room.Sent), number(room.Head))
	}
	lives, err := op.Lives(ctx, id, seq, seq)
	if err != nil {
		return exitFailed, err
	}
	if !dry {
		if err := op.Skip(ctx, id, seq, reason); err != nil {
			return exitFailed, err
		}
	}
	if c.out.json {
		s := skipReport{DryRun: dry}
		if len(lives) > 0 {
			s.Event = lifeOf(lives[0], room)
		}
		return exitOK, c.out.encode(s)
	}
	for _, l := range lives {
		drawLifeLine(c.out, l, room)
	}
	behind := count(room.Head-seq, "event")
	if dry {
		c.out.line("would park seq %d of room %s; %s behind it would go on. The room is %s", seq, id, behind, leaseText(room, false))
		return exitOK, nil
	}
	c.out.line("parked seq %d of room %s; %s behind it go on. ops redrive %s %d sends it once more", seq, id, behind, id, seq)
	return exitOK, nil
}
