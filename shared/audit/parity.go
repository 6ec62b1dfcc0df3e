// Package audit compares: what pages saw by way of Pusher with what they saw by way of
// Supabase Realtime, and the chat's tables with the outbox.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomcast/shared/outbox"
)

// Seen is what pages saw of one room while they listened to both Supabase Realtime
// and Pusher: one receipt's counts, or the sum of many. Histograms count messages
// per bucket, as the writer defines them; trailing zeros may be missing.
type Seen struct {
	Both            int64 `json:"saw_both"`      // by both
	OnlyPusher      int64 `json:"only_pusher"`   // what Supabase Realtime lost
	OnlySupabase    int64 `json:"only_supabase"` // what Roomcast lost
	Fetched         int64 `json:"fetched"`       // of Both and OnlyPusher: over HTTP, after a gap
	PusherRepeats   int64 `json:"pusher_repeats"`
	SupabaseRepeats int64 `json:"supabase_repeats"`
	Flips           int64 `json:"flips"`  // pairs that the two brought in different orders
	Skewed          int64 `json:"skewed"` // receipts without delays, for a clock that was off

	PusherDelays   []int64 `json:"pusher_delays"` // commit to page
	SupabaseDelays []int64 `json:"supabase_delays"`
}

// Receipt is one page's counts for one room. Page and N name it: the same ones
// again change nothing.
type Receipt struct {
	UserID string // who sent it, authorized for the room
	Page   string // uuid the page chose when it opened
	Room   string
	N      int64 // from 1, growing
	Seen   Seen
}

// The outcomes of NoteReceipt.
const (
	ReceiptNoted  = "noted"
	ReceiptRepeat = "repeat" // counted before
	ReceiptEarly  = "early"  // N grows faster than once in five seconds
	ReceiptMany   = "many"   // the user has opened 200 pages within the hour, or reported 20,000 messages
)

// Store is the access of a relay's role. It is safe for concurrent use.
type Store struct{ *outbox.DB }

// NoteReceipt adds a receipt to its room's hour and returns one of the outcomes.
func (s Store) NoteReceipt(ctx context.Context, r Receipt) (string, error) {
	// Null is no empty array to jsonb_populate_record.
	for _, counts := range []*[]int64{&r.Seen.PusherDelays, &r.Seen.SupabaseDelays} {
		if *counts == nil {
			*counts = []int64{}
		}
	}
	seen, err := json.Marshal(r.Seen)
	if err != nil {
		return "", fmt.Errorf("note receipt: %w", err)
	}
	var outcome string
	err = s.QueryRow(ctx, `select roomcast.note_receipt($1::uuid, $2::uuid, $3, $4::bigint, $5::jsonb)`,
		r.UserID, r.Page, r.Room, r.N, string(seen)).Scan(&outcome)
	if err != nil {
		return "", fmt.Errorf("note receipt: %w", err)
	}
	return outcome, nil
}

// Cell is what is known of one hour, or of one room.
type Cell struct {
	Seen
	Room      string    `json:"room"`
	Hour      time.Time `json:"hour"` // a room's: the last hour with a receipt; zero without one
	Receipts  int64     `json:"receipts"`
	Pages     int64     `json:"pages"`     // hours in which a user's pages sent a receipt: page-hours
	Committed int64     `json:"committed"` // new messages, by the outbox
}

// Report is all that receipts and the outbox tell since some hour, at one moment.
type Report struct {
	At           time.Time `json:"at"` // the database's clock
	RoomsActive  int64     `json:"rooms_active"`
	RoomsWatched int64     `json:"rooms_watched"`
	Hours        []Cell    `json:"hours"`    // in order; hours without anything are missing
	Rooms        []Cell    `json:"rooms"`    // those with most trouble first
	Repaired     int64     `json:"repaired"` // rows that the audit enqueued again

	UsersWatching int64  `json:"users_watching"`
	Users         []User `json:"users"`       // those who reported most losses, then most
	MostOfOne     int64  `json:"most_of_one"` // messages compared by the pages of one user
	OfAll         int64  `json:"of_all"`      // and of all
}

// User is one user's part in the receipts: they are the word of the user who sends them.
type User struct {
	ID           string `json:"user_id"`
	Receipts     int64  `json:"receipts"`
	Compared     int64  `json:"compared"`
	OnlySupabase int64  `json:"only_supabase"`
}

// Parity reads what is known since the hour of since, with at most maxRooms rooms.
func (s Store) Parity(ctx context.Context, since time.Time, maxRooms int) (Report, error) {
	var text []byte
	err := s.QueryRow(ctx, `select roomcast.parity_report(date_trunc('hour', $1::timestamptz, 'UTC'), $2::int)`,
		since, maxRooms).Scan(&text)
	if err != nil {
		return Report{}, fmt.Errorf("parity: %w", err)
	}
	var p Report
	if err := json.Unmarshal(text, &p); err != nil {
		return Report{}, fmt.Errorf("parity: %w", err)
	}
	return p, nil
}

// Finding is one question of the audit and its answer.
type Finding struct {
	Problem string     `json:"problem"`          // missing, unnumbered, waiting, holes, parked, unroutable
	Table   string     `json:"table,omitempty"`  // of missing
	Count   *int64     `json:"count"`            // rows; nil: it cannot be told, see Note
	Oldest  *time.Time `json:"oldest,omitempty"` // when the oldest of them was written
	Note    string     `json:"note,omitempty"`   // how it was judged, or why not
}

// ErrTooLong is returned when the audit could not end in time.
var ErrTooLong = errors.New("the audit took too long")

// Audit compares the chat's tables with the outbox and the outbox with what was
// accepted, as far back as since and the retention reach. It changes nothing. When
// ctx ends first, the error is ErrTooLong.
func (s Store) Audit(ctx context.Context, since time.Duration) ([]Finding, error) {
	rows, err := s.Query(ctx, auditSQL, since)
	if err != nil {
		return nil, auditError(ctx, err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f Finding, err error) {
		return f, json.Unmarshal(row.RawValues()[0], &f)
	})
	if err != nil {
		return nil, auditError(ctx, err)
	}
	return found, nil
}

const auditSQL = `select to_jsonb(a) from (
  select problem, relation as "table", how_many as count, oldest, note from roomcast.audit($1::interval)) a`

func auditError(ctx context.Context, err error) error {
	const queryCanceled = "57014" // by statement_timeout
	var pg *pgconn.PgError
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(err, &pg) && pg.Code == queryCanceled {
		return fmt.Errorf("%w: %w", ErrTooLong, err)
	}
	return fmt.Errorf("audit: %w", err)
}
