package admin

import (
	"context"
	"fmt"
	"time"
)

// Backlog is what Pusher has not accepted yet.
type Backlog struct {
	Waiting    int64         // rows
	Unnumbered int64         // of these, rows that no claim has seen yet
	Oldest     time.Duration // age of the oldest by the database's clock; 0 when nothing waits
	Rooms      int64         // rooms with numbered rows waiting
	InFlight   int64         // rows of rooms that a relay holds
	Leased     int64         // rooms that a relay holds
	Parked     int64         // events given up and still kept
}

const backlogSQL = `select waiting, unnumbered, coalesce(oldest, 0), rooms, leased, leased_rooms, parked from roomcast.backlog()`

// Backlog counts what waits. It reads one row per waiting room: cheap enough for
// a scrape or a glance, too dear for every poll.
func (o Operator) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	var oldest float64
	err := o.QueryRow(ctx, backlogSQL).
		Scan(&b.Waiting, &b.Unnumbered, &oldest, &b.Rooms, &b.InFlight, &b.Leased, &b.Parked)
	if err != nil {
		return Backlog{}, fmt.Errorf("backlog: %w", err)
	}
	b.Oldest = seconds(oldest)
	return b, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
