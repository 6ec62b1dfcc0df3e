package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"roomcast/shared/admin"
	"roomcast/shared/backoff"
	"roomcast/shared/selfcheck"
)

func setUpStatus(flags *flag.FlagSet) func(context.Context, *call) (int, error) {
	watch := flags.Bool("watch", false, "poll until interrupted")
	every := flags.Duration("every", time.Second, "with -watch, how often")
	return func(ctx context.Context, c *call) (int, error) {
		if len(c.args) > 0 || *every < 100*time.Millisecond {
			return exitFailed, errUsage
		}
		op, err := c.operator()
		if err != nil {
			return exitFailed, err
		}
		defer op.Close()
		if !*watch {
			every = nil
		}
		return exitOK, showStatus(ctx, c.out, op, c.relayOf(op), every)
	}
}

// relayEvery is how often status asks the function, at most.
const relayEvery = 5 * time.Second

// relayOf returns what asks the function how its relay stands; nil if that is not known,
// or nobody is awake: the question would start a machine.
func (c *call) relayOf(op admin.Operator) func(context.Context, admin.Status) *selfcheck.Relay {
	var asked time.Time
	var last *selfcheck.Relay
	return func(ctx context.Context, s admin.Status) *selfcheck.Relay {
		if s.Awake <= 0 || len(c.WebhookSecrets) == 0 || time.Since(asked) < relayEvery {
			return last
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		address := c.FunctionURL
		if address == "" && op.QueryRow(ctx, `select coalesce(url, '') from roomcast.settings`).Scan(&address) != nil || address == "" {
			return nil
		}
		asked = time.Now()
		for _, secret := range c.WebhookSecrets { // while one is being rotated there are two
			var err error
			if last, err = selfcheck.AskRelay(ctx, http.DefaultClient, strings.TrimSuffix(address, webhookPath), secret); !errors.Is(err, selfcheck.ErrSecret) {
				break // doctor says why, if there is no answer
			}
		}
		return last
	}
}

// showStatus prints the status once, or every so often until ctx ends.
func showStatus(ctx context.Context, out *printer, op admin.Operator, relay func(context.Context, admin.Status) *selfcheck.Relay, every *time.Duration) error {
	var last snapshot
	for {
		now, err := op.Status(ctx)
		if err != nil {
			if every != nil && ctx.Err() != nil {
				return nil // interrupted: what was asked for
			}
			return err
		}
		next := snapshot{Status: now, at: time.Now(), relay: relay(ctx, now)}
		switch {
		case every != nil && out.colour:
			fmt.Fprint(out.w, "\x1b[H\x1b[J") // home, and clear what is below (ECMA-48)
		case !last.at.IsZero() && !out.json:
			out.line("")
		}
		if err := drawStatus(out, next, last); err != nil {
			return err
		}
		if every == nil {
			return nil
		}
		last = next
		if !backoff.Sleep(ctx, *every) {
			return nil
		}
	}
}

// snapshot is a status and when it was read.
type snapshot struct {
	admin.Status
	at    time.Time
	relay *selfcheck.Relay // the function's own word; nil if it was not asked, or does not answer
}

// sentSince is how many rows per second were sent since the previous snapshot; false for
// the first one.
func (l snapshot) sentSince(before snapshot) (float64, bool) {
	if before.at.IsZero() {
		return 0, false
	}
	return float64(l.Passed-before.Passed) / l.at.Sub(before.at).Seconds(), true
}

// statusJSON is a status for machines.
type statusJSON struct {
	Awake         bool               `json:"awake"`
	AwakeSeconds  float64            `json:"awake_seconds"`
	Waiting       int64              `json:"waiting"`
	Unnumbered    int64              `json:"unnumbered"`
	OldestSeconds float64            `json:"oldest_seconds"`
	WaitingRooms  int64              `json:"waiting_rooms"`
	InFlight      int64              `json:"in_flight"`
	LeasedRooms   int64              `json:"leased_rooms"`
	Holders       map[string]int64   `json:"holders"`
	RestingRooms  int64              `json:"resting_rooms"`
	Parked        int64              `json:"parked"`
	Unroutable    int64              `json:"unroutable"`
	WrittenPerSec float64            `json:"written_per_second"`
	SentPerSec    *float64           `json:"sent_per_second,omitempty"` // with -watch, from the second on
	OutboxBytes   int64              `json:"outbox_bytes"`
	App           string             `json:"pusher_app,omitempty"`
	Polling       *selfcheck.Polling `json:"polling,omitempty"`
}

func drawStatus(out *printer, s, before snapshot) error {
	sent, known := s.sentSince(before)
	if out.json {
		j := statusJSON{
			Awake: s.Awake > 0, AwakeSeconds: max(0, s.Awake.Seconds()), Waiting: s.Waiting, Unnumbered: s.Unnumbered,
			OldestSeconds: s.Oldest.Seconds(), WaitingRooms: s.Rooms, InFlight: s.InFlight, LeasedRooms: s.Leased,
			Holders: s.Holders, RestingRooms: s.Resting, Parked: s.Parked, Unroutable: s.Unroutable,
			WrittenPerSec: float64(s.PerMinute) / 60, OutboxBytes: s.Bytes, App: s.App,
		}
		if known {
			j.SentPerSec = &sent
		}
		if s.relay != nil {
			j.Polling = s.relay.Polling
		}
		return out.encode(j)
	}
	out.field("relay", "%s", relayText(s.Status))
	if s.App != "" {
		out.field("app", "belongs to Pusher app %s", s.App)
	}
	if s.relay != nil && s.relay.Polling != nil {
		out.field("pages", "%s", out.bad(pollingText(s.relay.Polling)))
	}
	out.field("waiting", "%s", waitingText(out, s.Status))
	out.field("oldest", "%s", oldestText(out, s.Status))
	out.field("in flight", "%s", flightText(s.Status))
	if s.Resting > 0 {
		out.field("resting", "%s after failures, the next try in %s", count(s.Resting, "room"), span(s.NextTry))
	}
	if s.Parked > 0 {
		out.field("parked", "%s", out.worry(count(s.Parked, "event")+" given up: ops redrive -parked -dry-run lists them"))
	} else {
		out.field("parked", "none")
	}
	rate := fmt.Sprintf("%.1f rows/s written over the last minute", float64(s.PerMinute)/60)
	if known {
		rate += fmt.Sprintf(", %.1f rows/s sent since the last poll", sent)
	}
	out.field("rate", "%s", rate)
	out.field("kept", "%s, the oldest %s old", size(s.Bytes), span(s.Kept))
	return nil
}

func relayText(s admin.Status) string {
	if s.Awake > 0 {
		return "awake, for another " + span(s.Awake) + " unless renewed"
	}
	return "asleep: the next row wakes it"
}

func waitingText(out *printer, s admin.Status) string {
	if s.Waiting == 0 {
		return out.good("nothing")
	}
	text := count(s.Waiting, "row")
	if s.Rooms > 0 {
		text += " in " + count(s.Rooms, "room")
	}
	if s.Unnumbered > 0 {
		text += fmt.Sprintf(", %s not yet numbered", number(s.Unnumbered))
	}
	return text
}

// Ages at which a waiting row is reported.
const (
	oldWorries = 30 * time.Second
	oldFails   = 5 * time.Minute
)

func oldestText(out *printer, s admin.Status) string {
	switch {
	case s.Waiting == 0:
		return "-"
	case s.Oldest > oldFails:
		return out.bad(span(s.Oldest))
	case s.Oldest > oldWorries:
		return out.worry(span(s.Oldest))
	}
	return span(s.Oldest)
}

func flightText(s admin.Status) string {
	if s.Leased == 0 {
		return "nothing"
	}
	var by []string
	for _, name := range slices.Sorted(maps.Keys(s.Holders)) {
		by = append(by, fmt.Sprintf("%s (%d)", name, s.Holders[name]))
	}
	text := count(s.InFlight, "row") + " of " + count(s.Leased, "room")
	if len(by) > 0 { // none when the lease ended between the two queries
		text += ", held by " + strings.Join(by, ", ")
	}
	return text
}
