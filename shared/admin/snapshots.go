package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Holder is who holds an old snapshot, so that dead rows stay and claims step over them.
type Holder struct {
	Kind  string        // session, prepared, standby, slot, catalog: see snapshots.sql
	Who   string        // an application or role, a transaction's name, a slot's: cleaned and cut
	Age   time.Duration // at least, where only a transaction's number tells it
	PID   int32         // 0: none
	About string        // role and state, for people
}

const holdersSQL = `select kind, who, age, coalesce(pid, 0), about from roomcast.snapshot_holders(make_interval(secs => $1))`

// SnapshotHolders lists who has held a snapshot for at least so long, the oldest first, as
// far as the schema's owner sees them. It reads the server's list of sessions: cheap enough
// for a scrape.
func (o Operator) SnapshotHolders(ctx context.Context, older time.Duration) ([]Holder, error) {
	rows, err := o.Query(ctx, holdersSQL, older.Seconds())
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h Holder, err error) {
		var age float64
		err = row.Scan(&h.Kind, &h.Who, &age, &h.PID, &h.About)
		h.Age = seconds(age)
		return h, err
	})
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	return list, nil
}
