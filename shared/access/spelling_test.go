package access_test

import (
	"fmt"
	"testing"
)

// A room's id is the text of its members' column and no other that a cast would make of
// it: cut to its length, tidied, rounded, or in other letters.
func TestRoomsAreSpelledInOneWay(t *testing.T) {
	tables := map[string]struct {
		room   string
		others []string
	}{
		"varchar(8)":    {"roomroom", []string{"roomroom-secret-other-room", "roomroom ", "ROOMROOM", "roomroo"}},
		"char(8)":       {"padded", []string{"padded  ", "padded-and-more"}}, // its text has no padding
		"text":          {"room", []string{"room ", " room", "Room", "room\n", "ro\u200bom"}},
		"int":           {"7", []string{"07", " 7", "+7", "7 ", "7.0", "0x7", "7e0", "\t7", "\u0667"}},
		"bigint":        {"-7", []string{"-07", "- 7", "-7 "}},
		"numeric(10,2)": {"1.50", []string{"1.5", "1.500", "1.501", "01.50", "1.5e0"}},
		"uuid": {"5ea51de0-0000-4000-8000-00000000000a", []string{"5EA51DE0-0000-4000-8000-00000000000A", "{5ea51de0-0000-4000-8000-00000000000a}",
			"5ea51de000004000800000000000000a", "5ea5-1de0-0000-4000-8000-0000-0000-000a", " 5ea51de0-0000-4000-8000-00000000000a"}},
		"date":         {"2026-11-22", []string{"22 Nov 2026", "20261122", "2026-11-22 00:00", "11/22/2026"}},
		"boolean":      {"true", []string{"t", "yes", "on", "1", "TRUE"}},
		"public.lower": {"lowered", []string{"LOWERED", "Lowered"}}, // a domain refuses what it does not hold
	}
	c := newChat(t)
	c.Exec(`create domain public.lower as text check (value = lower(value))`)
	n := 0
	for typ, tc := range tables {
		n++
		name := fmt.Sprintf("public.spelled_%d", n)
		c.Exec(fmt.Sprintf(`create table %s (id int generated always as identity primary key, room %s not null, user_id uuid not null)`, name, typ))
		c.Exec(fmt.Sprintf(`insert into %s (room, user_id) values ('%s'::%s, '%s')`, name, tc.room, typ, user1))
		c.Exec(fmt.Sprintf(`select roomcast.attach_members('%s', room_column => 'room')`, name))
	}
	ask := func(room string) bool {
		ok, err := c.store().CanRead(t.Context(), room, user1, []byte(`{}`))
		if err != nil {
			t.Errorf("%q: %v", room, err)
		}
		return ok
	}
	for typ, tc := range tables {
		if !ask(tc.room) {
			t.Errorf("%s: %q is not its own spelling", typ, tc.room)
		}
		for _, other := range tc.others {
			if ask(other) {
				t.Errorf("%s: %q is taken for %q", typ, other, tc.room)
			}
		}
	}
}
