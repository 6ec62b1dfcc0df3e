package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Delivered is how messages reached pages: one receipt's counts, or the sum of many.
type Delivered struct {
	Pushed    int64 `json:"pushed"`
	Gap       int64 `json:"gap"`       // fetched, because a number was missing
	Reconnect int64 `json:"reconnect"` // fetched after the connection was cut
	Polled    int64 `json:"polled"`    // fetched, because Pusher was away or refused
	Supabase  int64 `json:"supabase"`  // by Supabase Realtime in its place

	LatePushed    int64 `json:"late_pushed"` // of each of these, more than four seconds after the commit
	LateGap       int64 `json:"late_gap"`
	LateReconnect int64 `json:"late_reconnect"`
	LatePolled    int64 `json:"late_polled"`
	LateSupabase  int64 `json:"late_supabase"`

	Void    int64 `json:"void"`    // numbers under which the history has nothing
	Missing int64 `json:"missing"` // numbers that had not come two minutes after a later one
	Window  int64 `json:"window"`  // numbers that were kept no more when the page was back

	Skewed int64   `json:"skewed"` // receipts without delays, for a clock that was off
	Delays []int64 `json:"delays"` // commit to screen; buckets as the writer defines them
}

// Messages is how many reached a page.
func (d Delivered) Messages() int64 { return d.Pushed + d.Gap + d.Reconnect + d.Polled + d.Supabase }

// Plus adds counts, and leaves the delays alone.
func (d Delivered) Plus(b Delivered) Delivered {
	return Delivered{
		Pushed: d.Pushed + b.Pushed, Gap: d.Gap + b.Gap, Reconnect: d.Reconnect + b.Reconnect, Polled: d.Polled + b.Polled, Supabase: d.Supabase + b.Supabase,
		LatePushed: d.LatePushed + b.LatePushed, LateGap: d.LateGap + b.LateGap, LateReconnect: d.LateReconnect + b.LateReconnect,
		LatePolled: d.LatePolled + b.LatePolled, LateSupabase: d.LateSupabase + b.LateSupabase,
		Void: d.Void + b.Void, Missing: d.Missing + b.Missing, Window: d.Window + b.Window, Skewed: d.Skewed + b.Skewed, Delays: d.Delays,
	}
}

// NoteDelivery adds a page's receipt to this hour and returns one of the outcomes. Page
// and n name the receipt: the same ones again change nothing.
func (s Store) NoteDelivery(ctx context.Context, userID, page string, n int64, d Delivered) (outcome string, err error) {
	if d.Delays == nil {
		d.Delays = []int64{} // null is no empty array to jsonb_populate_record
	}
	counts, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("note delivery: %w", err)
	}
	err = s.QueryRow(ctx, `select roomcast.note_delivery($1::uuid, $2::uuid, $3::bigint, $4::jsonb)`, userID, page, n, string(counts)).Scan(&outcome)
	if err != nil {
		return "", fmt.Errorf("note delivery: %w", err)
	}
	return outcome, nil
}

// DeliveredHour is one hour's sum.
type DeliveredHour struct {
	Delivered
	Hour     time.Time `json:"hour"`
	Receipts int64     `json:"receipts"`
}

// Deliveries is what receipts tell since some hour.
type Deliveries struct {
	At    time.Time       `json:"at"` // the database's clock
	Users int64           `json:"users"`
	Hours []DeliveredHour `json:"hours"` // in order; hours without a receipt are missing
}

// Deliveries reads the receipts since the hour of since.
func (s Store) Deliveries(ctx context.Context, since time.Time) (Deliveries, error) {
	var text []byte
	if err := s.QueryRow(ctx, `select roomcast.delivery_report($1::timestamptz)`, since).Scan(&text); err != nil {
		return Deliveries{}, fmt.Errorf("delivery: %w", err)
	}
	var d Deliveries
	if err := json.Unmarshal(text, &d); err != nil {
		return Deliveries{}, fmt.Errorf("delivery: %w", err)
	}
	return d, nil
}
