package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/terminal"
)

// attachedTable is an attached table, as it is now.
type attachedTable struct {
	ID        int
	Name      string // of its events: message, member, reaction …
	Kind      string // rows or members
	Table     string // its number, if it was dropped
	Gone      bool
	Place     string // SQL over the row r: its room, or else its users
	Shape     string // of Place: one, array, query; of members: whether User is an array
	Room      string // column, where Place is just that
	User      string // column, of a table of members
	Active    string // SQL over the row r, of a table of members
	Capture   string // pg_trigger.tgenabled, empty without one of the triggers
	Truncate  string
	Missing   []string // columns that are needed and not there
	SoftLeave []string // columns that may say that a member has left
	Staying   string   // what active would say of them, as a literal
	IsLookUp  bool
	Unwatched []string // partitions and inheriting tables without its triggers
	Above     string   // a table that it has come below, where its rows are not captured one by one
	Disabled  []string // partitions and inheriting tables with a trigger disabled
	Moved     []string // those that came or went of late, and could not be told of in full
	NoUUID    string   // the type of the members' column of users, if it holds no uuids
}

const tablesSQL = `
	select s.id, s.name, s.kind, s.relation::text, c.oid is null,
	       coalesce(s.room, s.users, ''), s.shape, coalesce(s.room_column::text, ''), coalesce(s.user_column::text, ''), coalesce(s.active, ''),
	       (select case when count(*) < 3 then '' when bool_or(t.tgenabled in ('D', 'R')) then 'D' else 'O' end from pg_trigger t
	         where t.tgrelid = s.relation and t.tgname = any (array[format('roomcast_%s_insert', s.id), format('roomcast_%s_update', s.id), format('roomcast_%s_delete', s.id)])),
	       coalesce((select t.tgenabled::text from pg_trigger t where t.tgrelid = s.relation and t.tgname = format('roomcast_%s_truncate', s.id)), ''),
	       array(select distinct n from unnest(array_remove(array[s.room_column::text, s.user_column::text] || s.columns || s.keys || s.uses, null)) n
	              where not exists (select from pg_attribute a where a.attrelid = s.relation and a.attname = n and a.attnum > 0 and not a.attisdropped)),
	       array(select l.name from roomcast.leaving_columns(s.relation) l where s.kind = 'members'),
	       quote_literal(coalesce((select string_agg(l.active, ' and ') from roomcast.leaving_columns(s.relation) l), '')),
	       s.kind = 'rows' and s.shape = 'query',
	       array(select u::text from unnest(roomcast.children_of(s.relation)) u where not roomcast.has_triggers(s, u)),
	       coalesce((select i.inhparent::regclass::text from pg_inherits i where i.inhrelid = s.relation and not s.row_wise limit 1), ''),
	       array(select distinct t.tgrelid::regclass::text from pg_trigger t where t.tgrelid = any (roomcast.children_of(s.relation)) and t.tgname ~ format('^roomcast_%s_', s.id) and t.tgenabled in ('D', 'R')),
	       array(select a.problem || ': ' || a.note from roomcast.audits a where a.relation = s.relation::text and a.problem like 'partition %' and a.at > now() - interval '1 day' order by a.id limit 3),
	       coalesce(case when s.kind = 'members' then roomcast.type_without_uuids(s.relation, s.user_column::text) end, '')
	  from roomcast.attached_tables s left join pg_class c on c.oid = s.relation
	 where s.detached_at is null order by s.id`

func (d *doctor) tables(ctx context.Context) ([]attachedTable, error) {
	rows, err := d.conn.Query(ctx, tablesSQL)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[attachedTable])
}

// checkTables checks the triggers of every attached table, and its columns.
func (d *doctor) checkTables(ctx context.Context, f *findings) error {
	tables, err := d.tables(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(tables, func(t attachedTable) bool { return t.Name == "message" }) {
		f.fail("select roomcast.attach_messages('public.messages', room_column => 'room_id');", "no table of messages is attached")
	}
	for _, t := range tables {
		t.check(f)
		if t.IsLookUp && !t.Gone && len(t.Missing) == 0 {
			d.timeLookUp(ctx, f, t)
		}
	}
	return nil
}

// attach is the statement that attaches the table again, to be completed by a person.
func (t attachedTable) attach() string {
	switch {
	case t.Kind == "members":
		return fmt.Sprintf("select roomcast.attach_members('%s', room_column => '…', user_column => '…', …);", t.Table)
	case t.Name == "message":
		return fmt.Sprintf("select roomcast.attach_messages('%s', room_column => '…', …);", t.Table)
	}
	return fmt.Sprintf("select roomcast.attach('%s', name => '%s', room => '…', …);", t.Table, t.Name)
}

func (t attachedTable) check(f *findings) {
	again := t.attach() + " names the columns again"
	switch {
	case t.Gone:
		f.fail(fmt.Sprintf("update roomcast.attached_tables set detached_at = now() where id = %d; then attach the table that took its place", t.ID),
			"the attached table with number %s (%s) was dropped", t.Table, t.Name)
	case len(t.Missing) > 0:
		f.fail(again, "%s has lost %s: its events are incomplete, or cannot be routed", t.Table, strings.Join(t.Missing, ", "))
	case t.Capture == "":
		f.fail(again, "%s has lost a trigger: not all of it is relayed", t.Table)
	case t.Capture == "D": // disabled, or fires on replicas only
		f.fail(fmt.Sprintf("alter table %s enable trigger user;", t.Table), "%s has a trigger disabled: not all of it is relayed", t.Table)
	case len(t.Unwatched) > 0:
		f.fail("select roomcast.follow_children(); the sweep does so every ten seconds, and its log says what hinders it",
			"%s below %s: what is written under that name is not relayed", strings.Join(t.Unwatched, ", "), t.Table)
	case t.Above != "":
		f.fail("select roomcast.follow_children(); the sweep does so every ten seconds. Better: attach "+t.Above+" in its place",
			"%s is now below %s: what is written under that name is not relayed", t.Table, t.Above)
	case len(t.Disabled) > 0:
		f.fail(fmt.Sprintf("alter table %s enable trigger user;", t.Disabled[0]), "%s below %s: a trigger is disabled, not all of it is relayed", strings.Join(t.Disabled, ", "), t.Table)
	case len(t.Moved) > 0:
		f.warn("where pages show its rows: select roomcast.send('a room', 'reload');", "%s: %s", t.Table, strings.Join(t.Moved, "; "))
	case t.Name == "message" && t.Truncate != "O" && t.Truncate != "A":
		f.warn(again, "%s has no working trigger for TRUNCATE: a truncated table would keep its text in the outbox", t.Table)
	case t.NoUUID != "":
		f.warn("keep the uuid in a column beside it, and attach that: infra/MOVING.md, Members",
			"%s.%s is %s: nobody is a member by it, since tokens have the uuid of auth.users", t.Table, t.User, t.NoUUID)
	case len(t.SoftLeave) > 0 && t.Active == "":
		f.warn(fmt.Sprintf("select roomcast.attach_members('%s', room_column => '%s', user_column => '%s', active => %s); if that is how members leave",
			t.Table, t.Room, t.User, t.Staying),
			"%s has %s, and every row of it counts as a member: who leaves by an UPDATE goes on reading", t.Table, strings.Join(t.SoftLeave, ", "))
	default:
		f.ok("%s: %s by %s", t.Table, t.Name, short1(t.Place))
	}
}

// short1 is SQL on one line, cut where it is long.
func short1(sql string) string {
	text := []rune(terminal.OneLine(sql))
	if len(text) > 60 {
		return string(text[:59]) + "…"
	}
	return string(text)
}

// slowLookUp is what finding a row's room may take, in the statement of the chat that
// writes the row.
const slowLookUp = 5 * time.Millisecond

// timeLookUp runs a table's look-up over some rows of it.
func (d *doctor) timeLookUp(ctx context.Context, f *findings, t attachedTable) {
	const sample = 20
	limited, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var rows int64
	start := time.Now()
	err := d.conn.QueryRow(limited, fmt.Sprintf("select count(*) from (select * from %s limit %d) r left join lateral (%s\n) as x on true", t.Table, sample, t.Place)).Scan(&rows)
	switch took := time.Since(start) / time.Duration(max(rows, 1)); {
	case limited.Err() != nil:
		f.fail("create an index on what it looks up", "finding the room of a row of %s takes more than 3 s for %d rows: every INSERT of the chat waits for it", t.Table, sample)
	case err != nil:
		f.fail(t.attach()+" with a look-up that works", "the look-up of %s fails, and its rows go nowhere: %s", t.Table, short(err))
	case took > slowLookUp:
		f.warn("create an index on what it looks up", "finding the room of a row of %s takes %s", t.Table, span(took))
	}
}
