package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
)

// checkRole checks what roomcast_relay may do, and what it must not.
func (d *doctor) checkRole(ctx context.Context, f *findings) error {
	var exists bool
	if err := d.conn.QueryRow(ctx, `select to_regrole('roomcast_relay') is not null`).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		f.fail(runMigrate, "there is no role roomcast_relay")
		return nil
	}
	lacking, err := d.lacking(ctx, "roomcast_relay")
	if err != nil {
		return err
	}
	readable, err := d.readableBy(ctx, "roomcast_relay")
	if err != nil {
		return err
	}
	open, err := d.list(ctx, `select rolname::text from pg_roles where rolname in ('anon', 'authenticated') and has_schema_privilege(oid, 'roomcast', 'usage') order by 1`)
	if err != nil {
		return err
	}
	before := len(*f)
	if len(lacking) > 0 {
		f.fail(runMigrate, "roomcast_relay may not execute %s", strings.Join(lacking, ", "))
	}
	if len(readable) > 0 {
		f.fail(fmt.Sprintf("revoke select on %s from roomcast_relay (or from public)", strings.Join(readable, ", ")),
			"roomcast_relay can read %s: it should see the outbox's functions only", strings.Join(readable, ", "))
	}
	if len(open) > 0 {
		f.fail(runMigrate+" (it revokes them)", "%s may use the schema roomcast: browsers reach it through the API", strings.Join(open, " and "))
	}
	if len(*f) == before {
		f.ok("roomcast_relay may execute its functions, and read nothing")
	}
	return nil
}

// lacking lists the relay's functions that a role may not execute.
func (d *doctor) lacking(ctx context.Context, role string) ([]string, error) {
	functions, err := admin.RelayFunctions()
	if err != nil {
		return nil, err
	}
	return d.list(ctx, `select distinct p.proname::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
		where n.nspname = 'roomcast' and p.proname::text = any ($2::text[])
		  and not (has_schema_privilege($1::name, n.oid, 'usage') and has_function_privilege($1::name, p.oid, 'execute')) order by 1`, role, functions)
}

// readableBy lists the attached tables, and the outbox, that a role can read, in
// whole or by a column.
func (d *doctor) readableBy(ctx context.Context, role string) ([]string, error) {
	return d.list(ctx, `select t::text from (
		  select s.relation from roomcast.attached_tables s join pg_class c on c.oid = s.relation where s.detached_at is null
		  union all select 'roomcast.outbox'::regclass) as tables (t)
		 where has_table_privilege($1::name, t, 'select') or has_any_column_privilege($1::name, t, 'select') order by 1`, role)
}

func (d *doctor) list(ctx context.Context, sql string, args ...any) ([]string, error) {
	rows, err := d.conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// checkLogin connects as the function does, and asks who that is.
func (d *doctor) checkLogin(ctx context.Context, f *findings) error {
	if d.DatabaseURL == "" {
		f.skip("needs DATABASE_URL, as the function has it")
		return nil
	}
	conn, err := d.connect(ctx, d.DatabaseURL)
	if err != nil {
		f.fail(connectRemedy(err, "set the DATABASE_URL that the function has, and check its password"), "DATABASE_URL does not let in: %s", short(err))
		return nil
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var user string
	if err := conn.QueryRow(ctx, `select current_user`).Scan(&user); err != nil {
		return err
	}
	lacking, err := d.lacking(ctx, user)
	if err != nil {
		return err
	}
	readable, err := d.readableBy(ctx, user)
	switch {
	case err != nil:
		return err
	case len(lacking) > 0:
		f.fail(fmt.Sprintf("grant roomcast_relay to %s;", user), "%s may not execute %s: the function can do nothing", user, strings.Join(lacking, ", "))
	case len(readable) > 0:
		f.warn("create role chat_relay login password '…' in role roomcast_relay; and give the function that one as DATABASE_URL",
			"the function's login %s can read %s: more than it needs", user, strings.Join(readable, ", "))
	default:
		f.ok("%s has the relay's rights and no others on the chat", user)
	}
	return nil
}
