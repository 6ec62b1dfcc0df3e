package access

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// InboxRoom is a room in a user's inbox.
type InboxRoom struct {
	Room   string    // its id
	Epoch  string    // empty for a room that never had an event
	Head   int64     // the last seq given
	Read   int64     // the last seq that the user has read
	Unread int64     // messages behind it, a thousand at most
	LastAt time.Time // of the last event that is still kept; zero if there is none
}

// Inbox lists the rooms that a user is a member of and may read, the latest first, up to
// five hundred.
func (s Store) Inbox(ctx context.Context, userID string, claims []byte) (found []InboxRoom, err error) {
	err = s.Claims.ask(func() any { return string(claims) }, func(given any) error {
		rows, err := s.Query(ctx, `select room, epoch, head, read, unread, coalesce(last_at, '0001-01-01 00:00:00Z')
		  from roomcast.my_rooms($1::uuid, $2::jsonb)`, userID, given)
		if err == nil {
			found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[InboxRoom])
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	return found, nil
}

// MarkRead notes that a user has read the room with this id up to a seq. It never goes
// back; repeats are harmless.
func (s Store) MarkRead(ctx context.Context, room, userID string, seq int64) error {
	return s.Exec(ctx, "mark read", `select roomcast.mark_read($1, $2::uuid, $3::bigint)`, room, userID, seq)
}

// Members lists the users who are members of the room with this id.
func (s Store) Members(ctx context.Context, room string) ([]string, error) {
	rows, err := s.Query(ctx, `select member::text from roomcast.members_of($1) as m (member)`, room)
	var users []string
	if err == nil {
		users, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return nil, fmt.Errorf("members: %w", err)
	}
	return users, nil
}
