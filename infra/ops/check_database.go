package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
)

const (
	runMigrate  = "run: ops migrate"
	ownerMissed = "set OWNER_DATABASE_URL to the connection string of the role that owns the chat's tables (on Supabase: postgres)"
)

// checkSettings finds what the function cannot start without.
func (d *doctor) checkSettings(_ context.Context, f *findings) error {
	missing := map[string]bool{
		"WEBHOOK_SECRET": len(d.WebhookSecrets) == 0,
		"PUSHER_APP_ID":  d.PusherAppID == "", "PUSHER_KEY": d.PusherKey == "", "PUSHER_SECRET": d.PusherSecret == "",
		"PUSHER_CLUSTER or PUSHER_HOST":       d.PusherCluster == "" && d.PusherHost == "",
		"SUPABASE_URL or SUPABASE_JWT_SECRET": d.SupabaseURL == "" && d.JWTSecret == "",
		"DATABASE_URL":                        d.DatabaseURL == "",
	}
	var names []string
	for name, is := range missing {
		if is {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) > 0 {
		f.fail("set them as the function has them, for instance from its .env file", "missing: %s", strings.Join(names, ", "))
	} else {
		f.ok("all that the function needs is set")
	}
	return nil
}

// checkDatabase connects as the owner, for the checks that follow.
func (d *doctor) checkDatabase(ctx context.Context, f *findings) error {
	if d.ownerURL() == "" {
		f.fail(ownerMissed, "no database is named")
		return nil
	}
	conn, err := d.connect(ctx, d.ownerURL())
	if err != nil {
		f.fail(connectRemedy(err, "check host, port and password; Supabase's db.<ref>.supabase.co is IPv6 only: elsewhere use the pooler's address"), "cannot be reached: %s", short(err))
		return nil
	}
	var version, user, name string
	if err := conn.QueryRow(ctx, `select current_setting('server_version'), current_user, current_database()`).Scan(&version, &user, &name); err != nil {
		return err
	}
	op, err := d.settings.operator()
	if err != nil {
		return err
	}
	d.conn, d.op = conn, op
	f.ok("Postgres %s, %s as %s", version, name, user)
	return nil
}

// checkSchema compares the schema with what this program brings along.
func (d *doctor) checkSchema(ctx context.Context, f *findings) error {
	drift, err := admin.Compare(ctx, d.conn)
	if err != nil {
		return fmt.Errorf("%w (is this the role that owns the schema? %s)", err, ownerMissed)
	}
	switch {
	case len(drift.Newer) > 0:
		f.fail("run the doctor of the version that migrated it, or deploy that one", "the database is at version %d, which this program does not know", drift.Newer[len(drift.Newer)-1])
	case len(drift.Missing) > 0:
		f.fail(runMigrate, "not installed yet: %s", strings.Join(drift.Missing, ", "))
	case len(drift.Stale) > 0:
		d.intact = true // the tables are there: the rest can be looked at
		f.fail(runMigrate, "not as in this version: %s", strings.Join(drift.Stale, ", "))
	default:
		d.intact = true
		f.ok("as this version expects it")
	}
	return nil
}

// checkMembers finds what decides who may read: without a members table and without a
// can_read of the team's own, nobody may.
func (d *doctor) checkMembers(ctx context.Context, f *findings) error {
	var tables int64
	var replaced bool
	err := d.conn.QueryRow(ctx, `
		select (select count(*) from roomcast.attached_tables where kind = 'members' and detached_at is null),
		       coalesce((select p.prosrc !~ 'roomcast\.is_member' from pg_proc p
		                  where p.oid = to_regprocedure('roomcast.can_read(text,uuid,jsonb)')), true)`).Scan(&tables, &replaced)
	switch {
	case err != nil:
		return err
	case tables == 0 && !replaced:
		f.warn("select roomcast.attach_members('public.room_participants', room_column => 'room_id', user_column => 'user_id'); or replace roomcast.can_read",
			"no table of members is attached: nobody may listen")
	case replaced:
		f.ok("roomcast.can_read is your own")
	default:
		f.ok("who may read is said by %s", count(tables, "table"))
	}
	return nil
}

// checkOldWebhooks finds what Supabase's dashboard made before Roomcast came.
func (d *doctor) checkOldWebhooks(ctx context.Context, f *findings) error {
	rows, err := d.conn.Query(ctx, `
		select t.tgname || ' on ' || s.relation::text
		  from roomcast.attached_tables s join pg_trigger t on t.tgrelid = s.relation
		  join pg_proc p on p.oid = t.tgfoid join pg_namespace n on n.oid = p.pronamespace
		 where s.detached_at is null and n.nspname = 'supabase_functions' and p.proname = 'http_request' and t.tgenabled <> 'D' order by 1`)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if len(names) > 0 {
		f.warn("if it was the chat's way to Pusher, delete it in Database → Webhooks: Roomcast's own wake-up is enough",
			"a dashboard webhook still posts every row: %s", strings.Join(names, ", "))
	} else {
		f.ok("none on the attached tables")
	}
	return nil
}
