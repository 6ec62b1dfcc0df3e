package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"roomcast/infra/child"
)

const (
	largeRows  = 250
	largeBytes = 1_000_000
	// largeReaders ask for the history of such rows at once.
	largeReaders = 30
)

// large: rows of a megabyte, which no channel takes: they are sent as stubs, and one of
// them is asked for by many at once.
func large(ctx context.Context, l *lab, db *database) {
	users := db.gather(ctx, 200, authRooms)
	defer users.keys.Close()
	p := l.function(ctx, append(users.environment(), "DATABASE_URL="+db.relay)...)
	db.untilIdle(ctx)
	rows := l.pick(largeRows, largeRows/10)
	must(db.pool.Exec(ctx, `insert into public.messages (room_id, user_id, content)
		select public.room(0), gen_random_uuid(), repeat(md5(i::text), $2::int / 32) from generate_series(1, $1::int) i`, rows, largeBytes))
	all := l.sink.expect(rows)
	start := time.Now()
	wake(ctx, p)
	_, err := all(ctx)
	p.check(err)
	took := time.Since(start)
	sent, _ := child.PeakMemory(p.Cmd.Process.Pid)
	users.history(ctx, p, largeReaders)
	asked, _ := child.PeakMemory(p.Cmd.Process.Pid)
	l.found(result{
		what:    fmt.Sprintf("memory peak with %d rows of 1 MB", rows),
		reached: fmt.Sprintf("%s; %s after %d requests for their history at once", mb(sent), mb(asked), largeReaders),
		target:  "< 48 MB",
		met:     sent > 0 && asked < 48_000_000,
		note:    fmt.Sprintf("All in one room, accepted as stubs in %.1f s.", took.Seconds()),
	})
	check(p.stop())
}

// history has a member of the first room ask for a page of it, so many times at once.
func (c *crowd) history(ctx context.Context, p *program, times int) {
	var readers errgroup.Group
	for range times {
		readers.Go(func() error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr()+"/rooms/"+roomID(0)+"/events?after=0&limit=5", nil)
			if err != nil {
				return err
			}
			req.Header.Set("Authorization", "Bearer "+c.tokens[0])
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("history: %s", resp.Status)
			}
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		})
	}
	check(readers.Wait())
}
