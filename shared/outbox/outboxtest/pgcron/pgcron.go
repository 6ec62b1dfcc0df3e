// Package pgcron stands in for the Postgres extension pg_cron where it is not
// installed: [Install] makes cron.schedule and its tables, a [Runner] runs the jobs.
//
// Unlike the extension it runs one job after another, on one connection.
package pgcron

import (
	"context"
	_ "embed"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox/outboxtest/standin"
)

//go:embed pgcron.sql
var schema string

// tick is how often the runner looks for jobs that are due, as pg_cron's launcher does.
const tick = time.Second

// Installed reports whether the database has pg_cron itself, which then needs
// neither Install nor a Runner.
func Installed(ctx context.Context, databaseURL string) (bool, error) {
	return standin.Present(ctx, databaseURL, "pgcron", "select exists (select from pg_extension where extname = 'pg_cron')")
}

// Install creates the schema cron. The URL's role must be allowed to create
// schemas. Twice is harmless.
func Install(ctx context.Context, databaseURL string) error {
	return standin.Install(ctx, databaseURL, "pgcron", schema)
}

// Runner runs the jobs of cron.job when they are due.
type Runner struct {
	url    string
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Start begins running jobs, each as the role that scheduled it, until ctx ends
// or Stop is called. The URL's role must be allowed to become those roles. A
// runner whose database goes away tries to come back every second.
func Start(ctx context.Context, databaseURL string) (*Runner, error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return nil, fmt.Errorf("pgcron: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &Runner{url: databaseURL, cancel: cancel}
	r.done.Go(func() { r.run(ctx, conn) })
	return r, nil
}

// Stop ends the runner and waits for it; a job under way is cancelled.
func (r *Runner) Stop() {
	r.cancel()
	r.done.Wait()
}

func (r *Runner) run(ctx context.Context, conn *pgx.Conn) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last := map[int64]time.Time{} // when each job last began; new jobs wait their first interval
	for {
		select {
		case now := <-ticker.C:
			if conn == nil || conn.IsClosed() {
				conn, _ = pgx.Connect(ctx, r.url) // nil until it works again
			}
			if conn != nil {
				runDue(ctx, conn, last, now)
			}
		case <-ctx.Done():
			if conn != nil {
				conn.Close(context.WithoutCancel(ctx))
			}
			return
		}
	}
}

type job struct {
	ID       int64
	Interval time.Duration
	Command  string
	Username string
}

// runDue runs what is due at now. An error of the list means a broken
// connection, which the next tick replaces; an error of a job is recorded with it.
func runDue(ctx context.Context, conn *pgx.Conn, last map[int64]time.Time, now time.Time) {
	rows, err := conn.Query(ctx, `
		select jobid, cron._interval(schedule), command, username
		from cron.job where active and database = current_database() order by jobid`)
	if err != nil {
		return
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[job])
	if err != nil {
		return
	}
	for _, j := range jobs {
		began, known := last[j.ID]
		// Half a tick of tolerance, or a late tick would cost a whole further one.
		if known && now.Sub(began) < j.Interval-tick/2 {
			continue
		}
		last[j.ID] = now
		if known {
			runJob(ctx, conn, j)
		}
	}
}

func runJob(ctx context.Context, conn *pgx.Conn, j job) {
	began := time.Now()
	status, message := "succeeded", ""
	if err := runAs(ctx, conn, j); err != nil {
		status, message = "failed", err.Error()
	}
	_, _ = conn.Exec(ctx, `
		insert into cron.job_run_details
			(jobid, database, username, command, status, return_message, start_time, end_time)
		values ($1, current_database(), $2, $3, $4, $5, $6, clock_timestamp())`,
		j.ID, j.Username, j.Command, status, message, began)
}

func runAs(ctx context.Context, conn *pgx.Conn, j job) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("job: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, "set local role "+pgx.Identifier{j.Username}.Sanitize()); err != nil {
		return fmt.Errorf("role: %w", err)
	}
	if _, err := tx.Conn().Exec(ctx, j.Command); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
