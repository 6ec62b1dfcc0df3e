package pgcron_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/pgcron"
)

func setup(t *testing.T) (string, *pgx.Conn) {
	t.Helper()
	url := outboxtest.DatabaseFrom(t, "pgcron", func(ctx context.Context, url string) error {
		if err := pgcron.Install(ctx, url); err != nil {
			return err
		}
		return pgcron.Install(ctx, url) // twice is harmless
	})
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return url, conn
}

func count(t *testing.T, conn *pgx.Conn, sql string) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// await asks until sql gives at least n.
func await(t *testing.T, conn *pgx.Conn, n int, sql string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); count(t, conn, sql) < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%s: less than %d for 15 s", sql, n)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func TestJobsRunAsTheirScheduler(t *testing.T) {
	url, conn := setup(t)
	// Roles outlive the database: they are the cluster's.
	for _, sql := range []string{
		`create role cron_owner`,
		`create table ran (by text)`,
		`grant insert on ran to cron_owner`,
		`set role cron_owner`,
		`select cron.schedule('note', '1 seconds', 'insert into ran values (current_user)')`,
		`select cron.schedule('broken', '1 seconds', 'select 1/0')`,
		`reset role`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	runner, err := pgcron.Start(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer runner.Stop()
	await(t, conn, 2, `select count(*) from ran where by = 'cron_owner'`)
	await(t, conn, 2, `select count(*) from cron.job_run_details where status = 'failed' and return_message like '%division by zero%'`)
	await(t, conn, 2, `select count(*) from cron.job_run_details where status = 'succeeded'`)
}

func TestScheduleAgainReplaces(t *testing.T) {
	_, conn := setup(t)
	for _, sql := range []string{
		`select cron.schedule('sweep', '10 seconds', 'select 1')`,
		`select cron.schedule('sweep', '* * * * *', 'select 2')`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if n := count(t, conn, `select count(*) from cron.job where command = 'select 2' and schedule = '* * * * *'`); n != 1 {
		t.Errorf("%d jobs", n)
	}
	if _, err := conn.Exec(t.Context(), `select cron.unschedule('sweep')`); err != nil {
		t.Error(err)
	}
	if n := count(t, conn, `select count(*) from cron.job`); n != 0 {
		t.Errorf("%d jobs are left", n)
	}
	for _, sql := range []string{
		`select cron.unschedule('sweep')`,
		`select cron.schedule('x', '60 seconds', 'select 1')`,
		`select cron.schedule('x', '5 4 * * *', 'select 1')`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s: accepted", sql)
		}
	}
}
