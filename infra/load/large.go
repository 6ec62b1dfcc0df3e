package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	largeRows  = 250
	largeBytes = 1_000_000
	// largeReaders ask for the history of such rows at once.
	largeReaders = 30
)

// large: rows of a megabyte, which no channel takes: they are sent as stubs, and one of
// them is asked for by many at once.
func large(ctx context.Context, l *lab, db *database) ([]result, error) {
	users, err := db.gather(ctx, 200, authRooms)
	if err != nil {
		return nil, err
	}
	defer users.keys.Close()
	p, err := l.function(ctx, append(users.environment(), "DATABASE_URL="+db.relay)...)
	if err != nil {
		return nil, err
	}
	if err := db.untilIdle(ctx); err != nil {
		return nil, err
	}
	rows := l.pick(largeRows, largeRows/10)
	_, err = db.pool.Exec(ctx, `insert into public.messages (room_id, user_id, content)
		select public.room(0), gen_random_uuid(), repeat(md5(i::text), $2::int / 32) from generate_series(1, $1::int) i`, rows, largeBytes)
	if err != nil {
		return nil, err
	}
	all := l.sink.expect(rows)
	start := time.Now()
	if err := wake(ctx, p); err != nil {
		return nil, err
	}
	if _, err := all(ctx); err != nil {
		return nil, fmt.Errorf("%w: %s", err, p.log.String())
	}
	took := time.Since(start)
	sent, _ := peakMemory(p.Cmd.Process.Pid)
	if err := users.history(ctx, p, largeReaders); err != nil {
		return nil, err
	}
	asked, _ := peakMemory(p.Cmd.Process.Pid)
	return []result{{
		what:    fmt.Sprintf("memory peak with %d rows of 1 MB", rows),
		reached: fmt.Sprintf("%s; %s after %d requests for their history at once", mb(sent), mb(asked), largeReaders),
		target:  "< 48 MB",
		met:     sent > 0 && asked < 48_000_000,
		note:    fmt.Sprintf("All in one room, accepted as stubs in %.1f s.", took.Seconds()),
	}}, p.stop()
}

// history has a member of the first room ask for a page of it, so many times at once.
func (c *crowd) history(ctx context.Context, p *program, times int) error {
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
	return readers.Wait()
}
