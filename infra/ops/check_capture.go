package main

import (
	"context"
	"strings"
)

// A finding of checkCapture: a query whose rows say what is wrong, and what to do.
type captureFault struct {
	sql, found, remedy string
	as                 verdict
}

// captureFaults lists faults that keep rows from the outbox, or the wake-up from being sent,
// without any other sign: no statement fails, and no row is counted.
func captureFaults() []captureFault {
	return []captureFault{
		{`select format('%s is now %s', a.known_as, a.relation)
		    from roomcast.attached_tables a join pg_class c on c.oid = a.relation
		   where a.detached_at is null and to_regclass(a.known_as) is distinct from a.relation
		     and to_regclass(a.known_as) in (select k.oid from pg_class k where k.relkind in ('r', 'p'))
		     and not exists (select from roomcast.attached_tables o where o.relation = to_regclass(a.known_as) and o.name = a.name and o.detached_at is null)`,
			"another table has taken the name of an attached one, and is not relayed",
			"attach the new one as the old one was; then select roomcast.detach('<the old one>'); and load the pages again", failure},
		{`select format('%s (%s)', a.known_as, a.name)
		    from roomcast.attached_tables a join pg_class k on k.oid = to_regclass(nullif(a.known_as, '')) and k.relkind in ('r', 'p')
		   where not exists (select from pg_class c where c.oid = a.relation)
		     and not exists (select from roomcast.attached_tables o where o.relation = k.oid and o.name = a.name)`,
			"an attached table was dropped and made again, and is not relayed",
			"attach the new one as the old one was; where it is not to be: update roomcast.attached_tables set known_as = '' where detached_at is not null;", failure},
		{`select format('%I on %s', t.tgname, t.tgrelid::regclass)
		    from pg_trigger t join pg_proc p on p.oid = t.tgfoid join pg_namespace n on n.oid = p.pronamespace and n.nspname = 'roomcast'
		   where t.tgparentid = 0 and t.tgname ~ '^roomcast_\d+_'
		     and not exists (select from roomcast.attached_tables a where a.id::text = split_part(t.tgname, '_', 2) and (a.detached_at is null or a.known_as <> '')
		                        and (t.tgrelid = a.relation or t.tgrelid = any (a.children || roomcast.children_of(a.relation)) or t.tgrelid = to_regclass(nullif(a.known_as, ''))))
		   limit 5`,
			"a dump has brought triggers of another attachment: they relay what they should not",
			"drop trigger <it>; for each, or attach the table again", failure},
		{`select 'the outbox''s own trigger' where not exists (select from pg_trigger t
		   where t.tgrelid = 'roomcast.outbox'::regclass and t.tgname = 'wakeup' and t.tgenabled in ('O', 'A'))`,
			"no commit requests a wake-up: rows wait for the sweep",
			"alter table roomcast.outbox enable trigger user; if it is gone: ops migrate", failure},
		{`select format('%s (%s''s)', c.oid::regclass, pg_get_userbyid(c.relowner)) from pg_class c join pg_namespace n on n.oid = c.relnamespace
		   where n.nspname = 'roomcast' and c.relkind in ('r', 'S') and c.relowner <> n.nspowner
		  union all
		  select format('%s() (%s''s)', p.proname, pg_get_userbyid(p.proowner)) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
		   where n.nspname = 'roomcast' and p.proowner <> n.nspowner and p.proname not in ('can_read', 'readable_since', 'member_info') limit 5`,
			"not all of the schema roomcast has the same owner",
			"a superuser: alter table (function, sequence) … owner to <the schema's owner>; for each", failure},
		{`select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = n.nspowner
		   where n.nspname = 'roomcast' and c.relkind = 'r' and not r.rolsuper
		     and (c.relrowsecurity and c.relforcerowsecurity and not r.rolbypassrls
		          or exists (select from unnest('{select,insert,update,delete}'::text[]) it where not has_table_privilege(n.nspowner, c.oid, it)))`,
			"the owner of the schema roomcast may not use its own tables: the chat's statements fail",
			"ops migrate gives them back", failure},
		{`select format('%s (%s)', a.relation, a.name) from roomcast.attached_tables a join pg_class c on c.oid = a.relation
		    join pg_namespace n on n.nspname = 'roomcast' join pg_roles r on r.oid = n.nspowner
		   where a.detached_at is null and not r.rolsuper
		     and (not has_table_privilege(n.nspowner, c.oid, 'select') and not has_any_column_privilege(n.nspowner, c.oid, 'select')
		          or not has_schema_privilege(n.nspowner, c.relnamespace, 'usage')
		          or c.relrowsecurity and not r.rolbypassrls and (c.relforcerowsecurity or not pg_has_role(n.nspowner, c.relowner, 'usage')))`,
			"the owner of the schema roomcast cannot read all of an attached table: of members, nobody may listen; look-ups, TRUNCATE and the audit see nothing",
			"grant that role usage on the schema and select on the table, and, where row level security holds for it: a superuser: alter role <it> bypassrls;", failure},
		{`select distinct format('%s (subscription %s)', a.relation, s.subname)
		    from roomcast.attached_tables a join pg_subscription_rel r on r.srrelid = a.relation or r.srrelid = any (a.children) join pg_subscription s on s.oid = r.srsubid
		   where a.detached_at is null`,
			"logical replication writes to an attached table, and fires no trigger of ours: what it writes is not relayed",
			"attach the table where the chat itself writes to it; or have the audit send them within the hour: select roomcast.auditing('<the table>', repairs => true);", warning},
		{`select distinct format('%s%s: %s', coalesce('role ' || s.setrole::regrole, 'all roles'), coalesce(' in ' || d.datname, ''), c.setting)
		    from (select oid, datname from pg_database where datname = current_database()) d, pg_db_role_setting r
		   cross join lateral (select nullif(r.setrole, 0)) s (setrole) cross join lateral unnest(r.setconfig) c (setting)
		   where r.setdatabase in (0, d.oid) and c.setting in ('session_replication_role=replica', 'roomcast.capture=off')`,
			"a setting keeps what is written from being relayed",
			"alter role (database) … reset it, where that is not meant", warning},
	}
}

// checkCapture finds what makes capture silent.
func (d *doctor) checkCapture(ctx context.Context, f *findings) error {
	before := len(*f)
	for _, fault := range captureFaults() {
		where, err := d.list(ctx, fault.sql)
		if err != nil {
			return err
		}
		if len(where) > 0 {
			*f = append(*f, finding{Verdict: fault.as, Found: fault.found + ": " + strings.Join(where, ", "), Remedy: fault.remedy})
		}
	}
	if len(*f) == before {
		f.ok("nothing keeps rows from the outbox")
	}
	return nil
}
