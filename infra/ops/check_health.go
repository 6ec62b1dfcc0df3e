package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
)

// checkWritable finds a database that takes no writes: a replica, or a project whose
// disk is full (Supabase sets default_transaction_read_only then).
func (d *doctor) checkWritable(ctx context.Context, f *findings) error {
	var recovery, readOnly bool
	err := d.conn.QueryRow(ctx, `select pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean`).Scan(&recovery, &readOnly)
	switch {
	case err != nil:
		return err
	case recovery:
		f.fail("use the primary's address", "this is a replica: nothing can be written to it")
	case readOnly:
		f.fail("is the disk full? Free or add space (Supabase: Database settings, Disk), then: alter database postgres reset default_transaction_read_only;",
			"the database is read-only: neither the chat nor the relay can write")
	default:
		f.ok("takes writes")
	}
	return nil
}

// functionConnections are what one machine of the function takes at most: its relay's and
// its browsers' pool (functions/app.go).
const functionConnections = 10

// checkConnections counts what is left of the connections that the function's login may
// have, by the server, the database and the role.
func (d *doctor) checkConnections(ctx context.Context, f *findings) error {
	login, err := d.loginRole()
	if err != nil || login == "" {
		f.skip("needs DATABASE_URL, as the function has it")
		return nil
	}
	var server, database, role int64
	err = d.conn.QueryRow(ctx, `
		with used as (select datname, usename from pg_stat_activity where backend_type = 'client backend')
		select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - (select count(*) from used),
		       coalesce((select nullif(b.datconnlimit, -1) - (select count(*) from used u where u.datname = b.datname)
		                   from pg_database b where b.datname = current_database()), 1000000),
		       coalesce((select nullif(r.rolconnlimit, -1) - (select count(*) from used u where u.usename = r.rolname)
		                   from pg_roles r where r.rolname = $1::name), 1000000)`, login).Scan(&server, &database, &role)
	if err != nil {
		return err
	}
	left, of := server, "the server"
	if database < left {
		left, of = database, "the database"
	}
	if role < left {
		left, of = role, "the role "+login
	}
	const remedy = "raise the limit, or use the pooler's transaction mode (port 6543), which shares few among many"
	switch {
	case left <= 0:
		f.fail(remedy, "no connection of %s is left", of)
	case left < functionConnections:
		f.warn(remedy, "%s of %s left, and a machine of the function takes up to %d: requests wait for each other", count(left, "connection"), of, functionConnections)
	default:
		f.ok("%s left", count(left, "connection"))
	}
	return nil
}

// loginRole is the role of DATABASE_URL, without the project that the pooler wants.
func (d *doctor) loginRole() (string, error) {
	if d.DatabaseURL == "" {
		return "", nil
	}
	config, err := pgx.ParseConfig(d.DatabaseURL)
	if err != nil {
		return "", err
	}
	if role, _, pooled := strings.Cut(config.User, "."); pooled && isPooler(config.Host) {
		return role, nil
	}
	return config.User, nil
}

// oldSnapshot is how long a snapshot may be held before it is worth a word: dead rows of
// the outbox stay until it ends, and every claim reads past them.
const oldSnapshot = 5 * time.Minute

// checkSnapshots names who keeps dead rows from going.
func (d *doctor) checkSnapshots(ctx context.Context, f *findings) error {
	holders, err := d.op.SnapshotHolders(ctx, d.oldSnapshot)
	if err != nil {
		return err
	}
	var blind string
	err = d.conn.QueryRow(ctx, `select case when not pg_has_role(n.nspowner, 'pg_read_all_stats', 'usage') then pg_get_userbyid(n.nspowner)::text else '' end
		from pg_namespace n where n.nspname = 'roomcast'`).Scan(&blind)
	if err != nil {
		return err
	}
	if len(holders) > 0 {
		names := make([]string, len(holders))
		for i, h := range holders {
			names[i] = holderText(h)
		}
		f.warn("end it: select pg_terminate_backend(<process>); rollback prepared '<name>'; or select pg_drop_replication_slot('<slot>');",
			"an old snapshot keeps dead rows, and makes every claim slower: %s", strings.Join(names, "; "))
	}
	if blind != "" {
		f.warn(fmt.Sprintf("a superuser: grant pg_read_all_stats to %s;", blind),
			"%s, the owner of the schema roomcast, does not see other roles' transactions: an old snapshot of theirs would not be named", blind)
	}
	if len(holders) == 0 && blind == "" {
		f.ok("none is old")
	}
	return nil
}

// holderText is a holder as a sentence has it.
func holderText(h admin.Holder) string {
	switch h.Kind {
	case "session":
		return fmt.Sprintf("process %d (%s, %s) for %s", h.PID, h.Who, h.About, span(h.Age))
	case "prepared":
		return fmt.Sprintf("prepared transaction %s (%s) for %s", h.Who, h.About, span(h.Age))
	case "standby":
		return fmt.Sprintf("standby %s (hot_standby_feedback) for at least %s", h.Who, span(h.Age))
	case "catalog":
		return fmt.Sprintf("replication slot %s (%s; the system's tables alone) for at least %s", h.Who, h.About, span(h.Age))
	default:
		return fmt.Sprintf("replication slot %s (%s) for at least %s", h.Who, h.About, span(h.Age))
	}
}

// checkAccess asks can_read two questions, and shows the answers: of a member, where
// there is one, and of a stranger.
func (d *doctor) checkAccess(ctx context.Context, f *findings) error {
	const stranger = "00000000-0000-4000-8000-00000000dead"
	room, user, err := d.someMember(ctx)
	if err != nil {
		return err
	}
	if room == "" {
		room = "00000000-0000-4000-8000-00000000beef"
	}
	strangers, err := d.mayRead(ctx, room, stranger)
	if err != nil {
		f.fail("correct roomcast.can_read: until then every browser is answered 503", "roomcast.can_read fails: %s", short(err))
		return nil
	}
	if user == "" {
		if strangers {
			f.warn("is that meant? Anybody who is signed in reads every room; see infra/supabase/examples", "can_read says yes to a stranger")
		} else {
			f.ok("can_read says no to a stranger; no member was found to ask about")
		}
		return nil
	}
	members, err := d.mayRead(ctx, room, user)
	switch {
	case err != nil:
		f.fail("correct roomcast.can_read: until then members are answered 503", "roomcast.can_read fails for a member: %s", short(err))
	case !members:
		f.warn("see roomcast.can_read and the attached tables of members", "can_read says no to the member %s of room %s", user, room)
	case strangers:
		f.warn("is that meant? Anybody who is signed in reads this room; see infra/supabase/examples", "can_read says yes to the member %s of room %s, and to a stranger", user, room)
	default:
		f.ok("can_read says yes to the member %s of room %s, and no to a stranger", user, room)
	}
	return nil
}

func (d *doctor) mayRead(ctx context.Context, room, user string) (may bool, err error) {
	claims := fmt.Sprintf(`{"sub":%q,"role":"authenticated","aud":"authenticated"}`, user)
	err = d.conn.QueryRow(ctx, `select roomcast.may_read($1, $2::uuid, $3::jsonb)`, room, user, claims).Scan(&may)
	return may, err
}

// someMember finds a row of an attached table of members; empty if there is none.
func (d *doctor) someMember(ctx context.Context) (room, user string, err error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return "", "", err
	}
	for _, t := range tables {
		if t.Kind != "members" || t.Gone || len(t.Missing) > 0 || t.Room == "" {
			continue
		}
		err := d.conn.QueryRow(ctx, t.memberSQL()).Scan(&room, &user)
		if err == nil {
			return room, user, nil
		}
		if !notYet(err) {
			return "", "", err
		}
	}
	return "", "", nil
}

// memberSQL selects one member of a table of members: its room and its user.
func (t attachedTable) memberSQL() string {
	room, user := "r."+pgx.Identifier{t.Room}.Sanitize(), "r."+pgx.Identifier{t.User}.Sanitize()
	from := t.Table + " r"
	if t.Shape == "array" {
		from += " cross join lateral unnest(" + user + ") as u (id)"
		user = "u.id"
	}
	where := user + " is not null and " + room + " is not null"
	if t.Active != "" {
		where += " and (" + t.Active + "\n)"
	}
	return "select " + room + "::text, " + user + "::text from " + from + " where " + where + " limit 1"
}
