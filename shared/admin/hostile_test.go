package admin_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

type signature struct {
	call  string // schema.name
	types []string
}

// signatures are all functions of ours that can be called by name.
func signatures(c *chat) (all []signature) {
	c.Helper()
	rows, err := c.Conn.Query(c.Context(), `select 'roomcast.' || quote_ident(p.proname),
		array(select format_type(t, null) from unnest(p.proargtypes) with ordinality as a (t, i) order by i)
		from pg_proc p where p.pronamespace = 'roomcast'::regnamespace and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype`)
	if err != nil {
		c.Fatal(err)
	}
	all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s signature, err error) {
		return s, row.Scan(&s.call, &s.types)
	})
	if err != nil || len(all) < 40 {
		c.Fatalf("%d functions, %v", len(all), err)
	}
	return all
}

// callEverything calls each function with each value of each of its arguments.
func (in *intruder) callEverything(all []signature) {
	in.must(`set statement_timeout = '250ms'`) // some wait, for rows or for others
	for _, s := range all {
		tries := 1
		for _, typ := range s.types {
			tries = max(tries, len(values(typ)))
		}
		for i := range tries {
			args := make([]string, len(s.types))
			for j, typ := range s.types {
				of := values(typ)
				args[j] = literal(of[i%len(of)]) + `::pg_catalog.` + qualified(typ)
			}
			_ = in.try(`select ` + s.call + `(` + strings.Join(args, ", ") + `)`)
		}
	}
}

// rights is all that a role may do in this database, as text to be compared.
func rights(c *chat, role string) string {
	c.Helper()
	return one[string](c, `select jsonb_build_object(
		'role', (select to_jsonb(r) - 'rolpassword' from pg_roles r where r.rolname = $1),
		'member', (select coalesce(jsonb_agg(r.rolname order by 1), '[]') from pg_roles r where pg_has_role($1, r.oid, 'member')),
		'owns', (select count(*) from pg_class k where k.relnamespace = 'roomcast'::regnamespace and k.relowner = $1::regrole),
		'tables', (select coalesce(jsonb_agg(k.oid::regclass::text || ' ' || w order by 1), '[]')
			from pg_class k, unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) w
			where k.relnamespace in ('roomcast'::regnamespace, 'net'::regnamespace) and k.relkind in ('r', 'v', 'p', 'm') and has_table_privilege($1, k.oid, w)),
		'messages', (select jsonb_agg(w order by 1) from unnest(array['select', 'insert', 'update', 'delete']) w where has_table_privilege($1, 'public.messages', w)),
		'functions', (select coalesce(jsonb_agg(p.oid::regprocedure::text order by 1), '[]') from pg_proc p
			where p.pronamespace = 'roomcast'::regnamespace and has_function_privilege($1, p.oid, 'execute')),
		'schema', has_schema_privilege($1, 'roomcast', 'create'))::text`, role)
}

// A relay that was taken over, and a chat user in a SQL session, run none of their own
// code with another's rights, whatever they create, set or pass, and have no right more
// afterwards.
func TestIntrudersGainNothing(t *testing.T) {
	for _, tc := range []struct{ name, setup string }{
		{"relay", `grant roomcast_relay to ROLE; grant create on schema public to ROLE; grant temporary on database DATABASE to ROLE`},
		{"user", `grant usage, create on schema public to ROLE; grant temporary on database DATABASE to ROLE;
			grant select, insert, update, delete on public.messages, public.room_participants to ROLE`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newChat(t)
			all := signatures(c)
			setup := strings.ReplaceAll(tc.setup, "DATABASE", one[string](c, `select quote_ident(current_database())`))
			in := intrude(c, tc.name, setup)
			before := rights(c, in.role)
			in.setTraps()
			in.setSettings()
			in.callEverything(all)
			in.write()
			if told := one[string](c, `select coalesce(string_agg(distinct a.name || ' ' || o.op, ', ' order by a.name || ' ' || o.op), '')
				from roomcast.outbox o join roomcast.attached_tables a on a.id = o.attached`); tc.name == "user" &&
				told != "member DELETE, member INSERT, message DELETE, message INSERT, message UPDATE" {
				t.Errorf("of what the user wrote with every setting bent, the outbox has: %s", told)
			}
			if after := rights(c, in.role); after != before {
				t.Errorf("rights before\n%s\nand after\n%s", before, after)
			}
			if len(in.stolen) > 0 {
				t.Errorf("the intruder's code has run with another's rights:\n%s", strings.Join(in.stolen, "\n"))
			}
			if in.calls < 300 {
				t.Errorf("only %d attempts", in.calls)
			}
		})
	}
}

// The traps work: a function whose search path is not pinned runs into them.
func TestIntrudersAreSeen(t *testing.T) {
	c := newChat(t)
	in := intrude(c, "seen", strings.ReplaceAll(`grant roomcast_relay to ROLE; grant create on schema public to ROLE;
		grant temporary on database DATABASE to ROLE`, "DATABASE", one[string](c, `select quote_ident(current_database())`)))
	in.setTraps()
	c.Exec(`alter function roomcast.note_receipt(uuid, uuid, text, bigint, jsonb) set search_path = ''`)
	_ = in.try(`select roomcast.note_receipt('` + user1 + `', '` + user1 + `', 'x', 1, '{}')`)
	if len(in.stolen) == 0 {
		t.Error("a temporary domain's check has not run with the owner's rights")
	}
}

// write fires the triggers with the traps set.
func (in *intruder) write() {
	in.must(`set statement_timeout = 0`)
	for _, sql := range []string{
		`insert into public.messages (room_id, user_id, content) values ('` + roomA + `', '` + user1 + `', '''; select public.trap(); --')`,
		`update public.messages set content = 'public.trap()'`,
		`insert into public.room_participants (room_id, user_id) values ('` + roomA + `', '` + user2 + `')`,
		`delete from public.room_participants`, `delete from public.messages`, `truncate public.messages`,
	} {
		_ = in.try(sql)
	}
}

// The relay's role may execute what rights.sql grants it, and nobody else anything.
func TestRightsAreWhatTheFileSays(t *testing.T) {
	c := newChat(t)
	if others := one[string](c, `select coalesce(string_agg(p.oid::regprocedure::text || ' to ' || a.grantee::regrole, ', '), '')
		from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
		where p.pronamespace = 'roomcast'::regnamespace and a.grantee not in (p.proowner, 'roomcast_relay'::regrole)`); others != "" {
		t.Errorf("may be executed by others: %s", others)
	}
	if tables := one[string](c, `select coalesce(string_agg(k.relname || ' ' || a.privilege_type || ' to ' || a.grantee::regrole, ', '), '')
		from pg_class k, aclexplode(k.relacl) a where k.relnamespace = 'roomcast'::regnamespace and a.grantee <> k.relowner`); tables != "" {
		t.Errorf("open to others: %s", tables)
	}
	definers := one[int](c, `select count(*) from pg_proc p where p.pronamespace = 'roomcast'::regnamespace and not p.prosecdef
		and has_function_privilege('roomcast_relay', p.oid, 'execute')`)
	if definers > 0 {
		t.Errorf("%d of the relay's functions run with the relay's own rights: it needs none", definers)
	}
}
