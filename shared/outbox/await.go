package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A backend that waits in await_rows notices every so often whether its relay is still
// there: a dead one's must not claim. (Servers on Windows cannot, and refuse the setting.)
const noticeSQL = `select set_config('client_connection_check_interval', '100ms', true)
  where version() !~* 'mingw|visual c'`

// AwaitClaim is Await, and a Claim behind it whatever it says, in one round trip: a message
// that comes while a relay waits reaches it a round trip earlier. The lease
// runs from before the call, as Claim's does.
func (db *DB) AwaitClaim(ctx context.Context, patience, every time.Duration, relay string, l Limits) (rooms []Room, err error) {
	var batch pgx.Batch
	batch.Queue(noticeSQL)
	batch.Queue(awaitSQL, patience, every)
	batch.Queue(claimSQL, db.claimArgs(relay, l)...)
	err = db.seeing(func() error {
		rooms, err = db.awaitClaim(ctx, &batch)
		return err
	})
	return rooms, err
}

func (db *DB) awaitClaim(ctx context.Context, batch *pgx.Batch) ([]Room, error) {
	results, err := db.send(ctx, batch)
	if err != nil {
		return nil, fmt.Errorf("await: %w", err)
	}
	defer results.Close()
	for range 2 {
		if _, err := results.Exec(); err != nil {
			return nil, fmt.Errorf("await: %w", err)
		}
	}
	rows, err := results.Query()
	if err != nil {
		return nil, fmt.Errorf("await: claim: %w", err)
	}
	rooms, err := readClaim(rows)
	if err = errors.Join(err, results.Close()); err != nil { // the commit's, too
		return nil, fmt.Errorf("await: claim: %w", err)
	}
	return rooms, nil
}
