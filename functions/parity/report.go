package parity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roomcast/shared/audit"
)

const (
	// readTimeout bounds the reading of the receipts, auditTimeout the audit. A large
	// table without a fitting index takes longer: then the report says so.
	readTimeout  = 8 * time.Second
	auditTimeout = 8 * time.Second
)

// Report is the parity report. All counts are of its window; those of pages count each
// page's view, so one message seen by three pages counts three times.
type Report struct {
	At    time.Time `json:"at"`
	From  time.Time `json:"from"` // a whole hour
	Hours int       `json:"hours"`

	Messages     int64 `json:"messages"`      // committed
	HoursWatched int   `json:"hours_watched"` // hours with a receipt
	PageHours    int64 `json:"page_hours"`
	Receipts     int64 `json:"receipts"`
	Skewed       int64 `json:"receipts_without_delays"`
	RoomsActive  int64 `json:"rooms_active"` // with a message
	RoomsWatched int64 `json:"rooms_watched"`

	Compared     int64 `json:"compared"` // the sum of the next three
	Both         int64 `json:"both"`
	OnlyPusher   int64 `json:"only_pusher"`
	OnlySupabase int64 `json:"only_supabase"`
	Fetched      int64 `json:"fetched"`
	Repeats      Sides `json:"repeats"`
	Flips        int64 `json:"flips"`

	Pusher   Delays `json:"pusher"`
	Supabase Delays `json:"supabase"`

	ByHour []Hour `json:"by_hour"` // every hour of the window, empty ones too
	Rooms  []Room `json:"rooms"`   // those with most trouble first

	Reporters Reporters `json:"reporters"`

	Audit    []audit.Finding `json:"audit"` // null: it did not end in time
	Repaired int64           `json:"repaired"`

	Limits  Limits  `json:"limits"`
	Verdict Verdict `json:"verdict"`
}

// Reporters are the users whose pages sent the receipts.
type Reporters struct {
	Users     int64        `json:"users"`
	MostOfOne int64        `json:"most_of_one"` // messages compared by the pages of one of them
	OfAll     int64        `json:"of_all"`
	First     []audit.User `json:"first"` // those who report most losses, then most messages
}

// Hour is one hour of the window.
type Hour struct {
	Start        time.Time `json:"start"`
	Messages     int64     `json:"messages"`
	Compared     int64     `json:"compared"`
	OnlyPusher   int64     `json:"only_pusher"`
	OnlySupabase int64     `json:"only_supabase"`
	Watched      bool      `json:"watched"`
}

// Room is one room's part.
type Room struct {
	Room         string  `json:"room"`
	Messages     int64   `json:"messages"`
	Compared     int64   `json:"compared"`
	OnlyPusher   int64   `json:"only_pusher"`
	OnlySupabase int64   `json:"only_supabase"`
	Repeats      Sides   `json:"repeats"`
	Flips        int64   `json:"flips"`
	PusherP95    float64 `json:"pusher_p95_ms"`
	SupabaseP95  float64 `json:"supabase_p95_ms"`
}

// Compile makes the report that ask wants, at now. Its errors are those of from; an
// runAudit that takes too long is part of the report.
func Compile(ctx context.Context, from Source, ask Ask, now time.Time) (*Report, error) {
	since := now.UTC().Truncate(time.Hour).Add(-time.Duration(ask.Hours-1) * time.Hour)
	found, err := read(ctx, from, since, ask.Rooms)
	if err != nil {
		return nil, err
	}
	r := &Report{
		At: now.UTC(), From: since, Hours: ask.Hours, Limits: ask.Limits,
		RoomsActive: found.RoomsActive, RoomsWatched: found.RoomsWatched, Repaired: found.Repaired,
		Reporters: Reporters{found.UsersWatching, found.MostOfOne, found.OfAll, found.Users},
	}
	r.addHours(found.Hours)
	for _, cell := range found.Rooms {
		r.Rooms = append(r.Rooms, roomOf(cell))
	}
	if r.Audit, err = runAudit(ctx, from, now.Sub(since)); err != nil {
		return nil, err
	}
	r.Verdict = judge(r)
	return r, nil
}

func read(ctx context.Context, from Source, since time.Time, rooms int) (audit.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	found, err := from.Parity(ctx, since, rooms)
	if err != nil {
		return audit.Report{}, fmt.Errorf("parity report: %w", err)
	}
	return found, nil
}

func runAudit(ctx context.Context, from Source, since time.Duration) ([]audit.Finding, error) {
	limited, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	found, err := from.Audit(limited, since)
	switch {
	case errors.Is(err, audit.ErrTooLong) && ctx.Err() == nil:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("parity report: %w", err)
	}
	return found, nil
}

// addHours sums the hours up and lays them out, with those between that had nothing.
func (r *Report) addHours(cells []audit.Cell) {
	r.ByHour = make([]Hour, r.Hours)
	for i := range r.ByHour {
		r.ByHour[i].Start = r.From.Add(time.Duration(i) * time.Hour)
	}
	var pusher, supabase []int64
	for _, c := range cells {
		r.Messages += c.Committed
		r.PageHours += c.Pages
		r.Receipts += c.Receipts
		r.Skewed += c.Skewed
		r.Both += c.Both
		r.OnlyPusher += c.OnlyPusher
		r.OnlySupabase += c.OnlySupabase
		r.Fetched += c.Fetched
		r.Repeats = Sides{r.Repeats.Pusher + c.PusherRepeats, r.Repeats.Supabase + c.SupabaseRepeats}
		r.Flips += c.Flips
		pusher, supabase = addCounts(pusher, c.PusherDelays), addCounts(supabase, c.SupabaseDelays)
		if c.Receipts > 0 {
			r.HoursWatched++
		}
		// The database's clock may be an hour ahead of ours at the turn of an hour.
		if i := int(c.Hour.Sub(r.From) / time.Hour); i >= 0 && i < len(r.ByHour) {
			h := &r.ByHour[i]
			h.Messages, h.Compared, h.Watched = c.Committed, compared(c), c.Receipts > 0
			h.OnlyPusher, h.OnlySupabase = c.OnlyPusher, c.OnlySupabase
		}
	}
	r.Compared = r.Both + r.OnlyPusher + r.OnlySupabase
	r.Pusher, r.Supabase = newDelays(pusher), newDelays(supabase)
}

func compared(c audit.Cell) int64 { return c.Both + c.OnlyPusher + c.OnlySupabase }

func roomOf(c audit.Cell) Room {
	return Room{
		Room: c.Room, Messages: c.Committed, Compared: compared(c),
		OnlyPusher: c.OnlyPusher, OnlySupabase: c.OnlySupabase,
		Repeats: Sides{c.PusherRepeats, c.SupabaseRepeats}, Flips: c.Flips,
		PusherP95: newDelays(c.PusherDelays).P95, SupabaseP95: newDelays(c.SupabaseDelays).P95,
	}
}
