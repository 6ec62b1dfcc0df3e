package outbox

import (
	"context"
	"fmt"
	"time"
)

// Canary writes a row into the canary's stream, unless one was written within the last
// minute, the last one still waits, or nobody polls. It returns what the row's event
// carries as n, 0 if none was written, and how long to wait before the next.
func (db *DB) Canary(ctx context.Context) (n int64, wait time.Duration, err error) {
	var seconds float64
	err = db.QueryRow(ctx, `select coalesce(c.n, 0), c.wait from roomcast.canary() c`).Scan(&n, &seconds)
	if err != nil {
		return 0, 0, fmt.Errorf("canary: %w", err)
	}
	return n, time.Duration(seconds * float64(time.Second)), nil
}
