package outbox_test

import (
	"fmt"
	"slices"
	"testing"
)

// events returns what was captured since it was last asked, as "name op room record", in
// order, and forgets it.
func (c *chat) events() []string {
	c.Helper()
	rows, err := c.Conn.Query(c.Context(), `with taken as (delete from roomcast.outbox returning *)
		select coalesce(o.name, a.name) || ' ' || o.op || ' ' || o.room || ' ' || o.record || case when o.stub then ' stub' else '' end || coalesce(' ' || o.old, '')
		  from taken o join roomcast.attached_tables a on a.id = o.attached order by o.id`)
	if err != nil {
		c.Fatal(err)
	}
	defer rows.Close()
	out := []string{}
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			c.Fatal(err)
		}
		out = append(out, line)
	}
	if err := rows.Err(); err != nil {
		c.Fatal(err)
	}
	return out
}

// wantEvents compares what was captured since.
func (c *chat) wantEvents(want ...string) {
	c.Helper()
	if got := c.events(); !slices.Equal(got, want) {
		c.Errorf("captured:\n%s\nwant:\n%s", lines(got), lines(want))
	}
}

// unroutable returns the reasons noted since it was last asked, with their counts.
func (c *chat) unroutable() []string {
	c.Helper()
	return one[[]string](c, `with taken as (delete from roomcast.unroutable returning *)
		select coalesce(array_agg(op || ' ' || count || ' ' || reason order by id), '{}') from taken`)
}

func (c *chat) wantUnroutable(want ...string) {
	c.Helper()
	if got := c.unroutable(); !slices.Equal(got, want) {
		c.Errorf("unroutable:\n%s\nwant:\n%s", lines(got), lines(want))
	}
}

func lines(list []string) (out string) {
	for _, l := range list {
		out += fmt.Sprintf("  %s\n", l)
	}
	return out
}

// refused returns the error of a statement that must fail.
func (c *chat) refused(sql string) error {
	c.Helper()
	_, err := c.Conn.Exec(c.Context(), sql)
	if err == nil {
		c.Errorf("not refused: %s", sql)
	}
	return err
}

// bare is a chat whose tables are the test's own: nothing is attached yet.
func bare(t *testing.T, tables string) *chat {
	t.Helper()
	c := newChat(t)
	c.Exec(`set client_min_messages = error`)
	c.Exec(`select roomcast.detach('public.messages'), roomcast.detach('public.room_participants')`)
	c.Exec(tables)
	return c
}
