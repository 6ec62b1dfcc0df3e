package main

import (
	"context"
	"time"
)

// readLimit bounds one read for a scrape, which must not wait for a database in trouble.
const readLimit = time.Second

// reading is what scrapers last read of the database. Its zero value was never read.
type reading[T any] struct {
	at   time.Time
	last T
	err  error
}

// read returns the last reading, or a new one if that is older than fresh. A database that
// does not answer is not asked again sooner than one that does.
func (r *reading[T]) read(fresh time.Duration, ask func(context.Context) (T, error)) (T, error) {
	if r.at.IsZero() || time.Since(r.at) > fresh {
		ctx, cancel := context.WithTimeout(context.Background(), readLimit)
		defer cancel()
		r.last, r.err = ask(ctx)
		r.at = time.Now()
	}
	return r.last, r.err
}
