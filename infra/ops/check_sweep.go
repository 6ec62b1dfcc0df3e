package main

import (
	"context"
	"fmt"

	"roomcast/shared/terminal"
)

// checkSweep checks the pg_cron job that sends a wake-up when one was lost.
func (d *doctor) checkSweep(ctx context.Context, f *findings) error {
	const again = "select roomcast.configure(); schedules it"
	cron, err := d.hasCron(ctx)
	if err != nil {
		return err
	}
	if !cron {
		f.warn("create extension pg_cron; (Supabase: Database → Extensions), then "+again, "the database has no pg_cron: after a lost wake-up, rows wait for the next one or for a browser")
		return nil
	}
	var schedule, want string
	var active, here bool
	err = d.conn.QueryRow(ctx, `select schedule, active, database = current_database(),
		       roomcast.sweep_schedule((select extversion from pg_extension where extname = 'pg_cron'))
		  from cron.job where jobname = 'roomcast-sweep' and command ~ 'roomcast\.sweep\(\)' order by active desc limit 1`).
		Scan(&schedule, &active, &here, &want)
	switch {
	case notYet(err):
		f.fail(again, "the sweep is not scheduled")
	case err != nil:
		return err
	case !active:
		f.fail("select cron.alter_job(jobid, active => true) from cron.job where jobname = 'roomcast-sweep';", "the sweep is switched off")
	case !here:
		f.fail(again, "the sweep runs in another database")
	case schedule != want:
		f.warn(again, "the sweep runs at %q, where this pg_cron can do %q", schedule, want)
	default:
		return d.checkSweepRuns(ctx, f, schedule)
	}
	return nil
}

// hasCron: does the database have pg_cron?
func (d *doctor) hasCron(ctx context.Context) (has bool, err error) {
	err = d.conn.QueryRow(ctx, `select to_regclass('cron.job') is not null`).Scan(&has)
	return has, err
}

// checkSweepRuns checks how the last sweep went.
func (d *doctor) checkSweepRuns(ctx context.Context, f *findings, schedule string) error {
	var status, message string
	err := d.conn.QueryRow(ctx, `select coalesce(r.status, ''), coalesce(r.return_message, '') from cron.job_run_details r join cron.job j using (jobid)
		where j.jobname = 'roomcast-sweep' and r.status in ('succeeded', 'failed') order by r.start_time desc limit 1`).Scan(&status, &message)
	switch {
	case err != nil && !notYet(err):
		return err
	case status == "failed":
		f.fail(fmt.Sprintf("fix what it says; then %s", runMigrate), "the last sweep failed: %s", terminal.OneLine(message))
	default:
		f.ok("runs at %q", schedule)
	}
	return nil
}
