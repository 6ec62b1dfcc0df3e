package owner

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ledger is what listeners would know who heard every event: which rows are in which room,
// and what was last said of each.
type ledger struct {
	rows   map[string]string // by attachment, room and key: the text of the body, or "stub"
	last   int64             // the last outbox row read
	unseen bool              // something was left out on purpose since
}

// truth is what the tables hold, in the same form. It finds tables and columns by their
// numbers in the catalog, as their owner would by looking.
const truth = `
select a.name, a.id, a.relation::text,
       (select case when count(*) = 2 then format('octet_length(q.%1$s::text) || '':'' || q.%1$s::text || q.%2$s', min(quote_ident(attname)) filter (where attnum = 1), min(quote_ident(attname)) filter (where attnum = 3))
                    else 'q.' || min(quote_ident(attname)) end
          from pg_attribute where attrelid = a.relation and not attisdropped and attnum = any (case a.name when 'part' then array[1, 3] else array[1] end)),
       coalesce((select format('%I', attname) from pg_attribute where attrelid = a.relation and attnum = (a.first ->> 'body')::int and not attisdropped), 'null'),
       case a.name when 'reply' then format('(select t.room from chat.threads t where t.id = q.%I)',
                 (select attname from pg_attribute where attrelid = a.relation and attnum = (a.first ->> 'thread')::int))
            else (select format('q.%I', attname) from pg_attribute where attrelid = a.relation and attnum = (a.first ->> 'room')::int) end,
       to_regclass('chat.threads') is not null or a.name <> 'reply'
  from (select t.*, case t.name when 'note' then '{"id":1,"room":2,"body":3}' when 'reply' then '{"id":1,"thread":2,"body":3}' else '{"id":1,"room":2,"body":4}' end::jsonb as first
          from roomcast.attached_tables t where t.detached_at is null) a`

// settle reads what was captured since, and compares. Where something was left out on
// purpose, or could not be routed, or was told as one event for all, it starts again from
// what the tables hold.
func (l *ledger) settle(ctx context.Context, conn *pgx.Conn) error {
	var unroutable int
	err := conn.QueryRow(ctx, `with taken as (delete from roomcast.unroutable returning 1) select count(*) from taken`).Scan(&unroutable)
	if err != nil {
		return err
	}
	bulk, err := l.read(ctx, conn)
	if err != nil {
		return err
	}
	now, whole, err := l.tables(ctx, conn)
	if err != nil {
		return err
	}
	was, start := l.rows, l.rows == nil || l.unseen || !whole || bulk || unroutable > 0
	l.rows, l.unseen = now, !whole
	if start {
		return nil
	}
	if diff := difference(was, now); diff != "" {
		return fmt.Errorf("what was told is not what is there:\n%s", diff)
	}
	return nil
}

// read applies the events in order. Of a row told about twice the later word counts.
func (l *ledger) read(ctx context.Context, conn *pgx.Conn) (bulk bool, err error) {
	rows, err := conn.Query(ctx, `select o.id, a.name, o.op, o.room, o.key_hash, o.stub, coalesce(o.record::json ->> 'body', o.record::json ->> 'body_x', '')
		from roomcast.outbox o join roomcast.attached_tables a on a.id = o.attached where o.id > $1 and o.record not like '%\\u0000%'
		union all select o.id, a.name, o.op, o.room, o.key_hash, true, '' from roomcast.outbox o join roomcast.attached_tables a on a.id = o.attached
		where o.id > $1 and o.record like '%\\u0000%' order by 1`, l.last)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		var name, op, room, body string
		var key int64
		var stub bool
		if err := rows.Scan(&l.last, &name, &op, &room, &key, &stub, &body); err != nil {
			return false, err
		}
		at := fmt.Sprintf("%s %s %d", name, room, key)
		switch {
		case op == "BULK":
			bulk = true
		case l.rows == nil:
		case op == "DELETE":
			delete(l.rows, at)
		case stub:
			l.rows[at] = "stub"
		default:
			l.rows[at] = body
		}
	}
	return bulk, rows.Err()
}

// tables reads what is there; whole says that all of it could be read.
func (l *ledger) tables(ctx context.Context, conn *pgx.Conn) (map[string]string, bool, error) {
	rows, err := conn.Query(ctx, truth)
	if err != nil {
		return nil, false, err
	}
	type table struct {
		Name            string
		ID              int
		Relation        string
		Key, Body, Room *string
		Known           bool
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	if err != nil {
		return nil, false, err
	}
	out, whole := map[string]string{}, true
	for _, t := range list {
		if t.Key == nil || t.Room == nil || !t.Known {
			whole = false
			continue
		}
		rows, err := conn.Query(ctx, fmt.Sprintf(`select roomcast.room_key(room), hashtextextended(key, %d), coalesce(body, '') from (
			select (%s)::text as room, (%s)::text as key, (%s)::text as body from %s q) s where roomcast.fits_channel(roomcast.room_key(room))`,
			t.ID, *t.Room, *t.Key, strings.ReplaceAll("q."+*t.Body, "q.null", "null"), t.Relation))
		if err != nil {
			return nil, false, err
		}
		for rows.Next() {
			var room, body string
			var key int64
			if err := rows.Scan(&room, &key, &body); err != nil {
				return nil, false, err
			}
			out[fmt.Sprintf("%s %s %d", t.Name, room, key)] = body
		}
		if err := rows.Err(); err != nil {
			return nil, false, fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	return out, whole, nil
}

// difference lists what one side has and the other has not. A stub stands for any text.
func difference(told, there map[string]string) string {
	var out []string
	for at, body := range there {
		switch said, ok := told[at]; {
		case !ok:
			out = append(out, "never told: "+at)
		case said != body && said != "stub":
			out = append(out, fmt.Sprintf("%s: told %.40q, is %.40q", at, said, body))
		}
	}
	for at := range told {
		if _, ok := there[at]; !ok {
			out = append(out, "not there: "+at)
		}
	}
	sort.Strings(out)
	return strings.Join(out[:min(len(out), 10)], "\n")
}
