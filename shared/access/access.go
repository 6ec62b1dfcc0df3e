// Package access asks the chat's Postgres who may read what, what others see of a
// member, whose access has ended, and who is online. The answers are the team's: by
// default membership in the attached tables.
package access

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"roomcast/shared/outbox"
)

// Store is the access of a relay's role. It is safe for concurrent use.
type Store struct {
	*outbox.DB
	Claims *Claims // nil: claims are sent with every question
}

// CanRead asks the database whether a user may read a room: roomcast.can_read,
// which the team may have replaced. claims is the token's whole claims object.
// Room and user may be any text; nobody may read a room that no table can hold.
func (s Store) CanRead(ctx context.Context, room, userID string, claims []byte) (ok bool, err error) {
	err = s.Claims.ask(func() any { return string(claims) }, func(given any) error {
		ok, err = s.Ask(ctx, "can read", `select roomcast.may_read($1, $2::uuid, $3::jsonb)`, room, userID, given)
		return err
	})
	return ok, err
}

// CanReadAll asks several questions in one round trip and answers them in order. nil is
// the answer to one that failed in the team's function.
func (s Store) CanReadAll(ctx context.Context, rooms, userIDs []string, claims [][]byte) (answers []*bool, err error) {
	answers = make([]*bool, 0, len(rooms))
	about, users := textArray(rooms), textArray(userIDs)
	yes, no := true, false
	ask := func(given any) error {
		answers = answers[:0]
		rows, err := s.Query(ctx, `select roomcast.may_read_all($1::text[], $2::uuid[], $3::jsonb[])`, about, users, given)
		if err != nil {
			return err
		}
		var answer pgtype.Bool
		_, err = pgx.ForEachRow(rows, []any{&answer}, func() error {
			switch {
			case !answer.Valid:
				answers = append(answers, nil)
			case answer.Bool:
				answers = append(answers, &yes)
			default:
				answers = append(answers, &no)
			}
			return nil
		})
		return err
	}
	if err = s.Claims.ask(func() any { return textArray(claims) }, ask); err != nil {
		return nil, fmt.Errorf("can read: %w", err)
	}
	return answers, nil
}

// MemberInfo asks the team's roomcast.member_info what a presence channel shows of
// a user. known is false where there is no such function.
func (s Store) MemberInfo(ctx context.Context, room, userID string, claims []byte) (info map[string]any, known bool, err error) {
	var text *string
	err = s.Claims.ask(func() any { return string(claims) }, func(given any) error {
		return s.QueryRow(ctx, `select roomcast.info_of($1, $2::uuid, $3::jsonb)::text`, room, userID, given).Scan(&text)
	})
	if err != nil {
		return nil, false, fmt.Errorf("member info: %w", err)
	}
	if text == nil {
		return nil, false, nil
	}
	if err := json.Unmarshal([]byte(*text), &info); err != nil {
		return nil, false, fmt.Errorf("member info: not a JSON object: %w", err)
	}
	return info, true, nil
}

// Departure names an event by which a user left a room.
type Departure struct {
	Room string
	Seq  int64
}

// Revocation is a user whose connections are to be ended, under lease.
type Revocation struct {
	UserID string
	Stamp  string // names this attempt when it is confirmed
	Tries  int    // attempts since the user was last revoked, this one included
}

// Leavers are the users whose access some departures ended.
type Leavers struct {
	Users []string // noted now
	Known []string // of a bulk change: noted before, and not yet confirmed
	More  bool     // a bulk change ended the access of others, too: ask again
}

// QueueRevocations notes that the users of these departures are to be disconnected, not before
// grace has passed, and returns them. What is queued survives the relay that queued it.
// Saying it twice is harmless.
func (s Store) QueueRevocations(ctx context.Context, departures []Departure, grace time.Duration) (l Leavers, err error) {
	rooms, seqs := make([]string, len(departures)), make([]int64, len(departures))
	for i, d := range departures {
		rooms[i], seqs[i] = d.Room, d.Seq
	}
	var user string
	var known bool
	rows, err := s.Query(ctx, `select user_id, known, more from roomcast.queue_revocations($1::text[], $2::bigint[], $3::interval)`, rooms, seqs, grace)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&user, &known, &l.More}, func() error {
			if known {
				l.Known = append(l.Known, user)
			} else {
				l.Users = append(l.Users, user)
			}
			return nil
		})
	}
	if err != nil {
		return Leavers{}, fmt.Errorf("queue revocations: %w", err)
	}
	return l, nil
}

// ClaimRevocations leases at most most users whose turn it is.
func (s Store) ClaimRevocations(ctx context.Context, most int, lease time.Duration) (claimed []Revocation, err error) {
	rows, err := s.Query(ctx, `select user_id, stamp::text, tries from roomcast.claim_revocations($1::int, $2::interval)`, most, lease)
	if err == nil {
		claimed, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Revocation])
	}
	if err != nil {
		return nil, fmt.Errorf("claim revocations: %w", err)
	}
	return claimed, nil
}

// Confirmation is what became of a Revocation.
type Confirmation struct {
	Revocation
	// Wait puts the next attempt off; zero says that there is to be none. A user who
	// was revoked again meanwhile gets another one in either case.
	Wait time.Duration
}

// ConfirmRevocations ends or puts off what was claimed.
func (s Store) ConfirmRevocations(ctx context.Context, confirmed []Confirmation) error {
	users, stamps := make([]string, len(confirmed)), make([]string, len(confirmed))
	waits := make([]*float64, len(confirmed))
	for i, c := range confirmed {
		users[i], stamps[i] = c.UserID, c.Stamp
		if c.Wait > 0 {
			seconds := c.Wait.Seconds()
			waits[i] = &seconds
		}
	}
	return s.Exec(ctx, "confirm revocations", `select roomcast.confirm_revocations($1::text[], $2::text[]::timestamptz[], $3::float8[])`, users, stamps, waits)
}

// PendingRevocations returns those of the users whose disconnect no relay has confirmed.
func (s Store) PendingRevocations(ctx context.Context, users []string) (pending []string, err error) {
	rows, err := s.Query(ctx, `select roomcast.pending_revocations($1::text[])`, users)
	if err == nil {
		pending, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return nil, fmt.Errorf("pending revocations: %w", err)
	}
	return pending, nil
}

// Presence says that a user came online in a room or went offline. Without a user
// it says that nobody is online there any more.
type Presence struct {
	Room   string
	UserID string
	Online bool
}

// NotePresence stores states as of a time, by Pusher's clock, and returns those that
// changed. said must have at most one state for each user and room. States older than the
// stored ones change nothing. With announce each change is also put into the outbox, to be
// published in the room's order.
func (s Store) NotePresence(ctx context.Context, said []Presence, at time.Time, announce bool) (changed []Presence, err error) {
	rooms, users, onlines := make([]string, len(said)), make([]*string, len(said)), make([]bool, len(said))
	for i, p := range said {
		rooms[i], onlines[i] = p.Room, p.Online
		if p.UserID != "" {
			users[i] = &p.UserID
		}
	}
	rows, err := s.Query(ctx, `select room, user_id, online from roomcast.note_presence($1::text[], $2::text[], $3::bool[], $4::timestamptz, $5::bool)`,
		rooms, users, onlines, at, announce)
	if err == nil {
		changed, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Presence])
	}
	if err != nil {
		return nil, fmt.Errorf("note presence: %w", err)
	}
	return changed, nil
}
