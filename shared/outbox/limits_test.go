package outbox_test

import (
	"fmt"
	"strings"
	"testing"
)

// configure refuses, by the name of the field, what would flood, forget or fail; null
// leaves a setting as it is.
func TestConfigureNamesTheField(t *testing.T) {
	c := newChat(t)
	const settings = `select format('%s %s %s %s', bulk, retention, timeout_ms, pusher_app) from roomcast.settings`
	c.Exec(`select roomcast.configure(bulk => 1, retention => '1 minute', timeout_ms => 1000, pusher_app => '7')`)
	before := one[string](c, settings)
	c.Exec(`select roomcast.configure(bulk => null, retention => null, timeout_ms => null, pusher_app => null)`)
	for field, values := range map[string][]string{
		"bulk":       {"0", "-1", "-2147483648", "2147483647", "100001"},
		"retention":  {"'0'", "'-1 day'", "'59 seconds'", "'1 year 1 second'", "'170000000 years'"},
		"timeout_ms": {"0", "-1", "999", "10001", "2147483647"},
		"pusher_app": {"''"},
	} {
		for _, value := range values {
			if err := c.refused(`select roomcast.configure(` + field + ` => ` + value + `)`); err != nil && !strings.Contains(err.Error(), field+": ") {
				t.Errorf("%s => %s: %v", field, value, err)
			}
		}
	}
	if after := one[string](c, settings); after != before {
		t.Errorf("settings %s, then %s", before, after)
	}
	c.Exec(`select roomcast.configure(bulk => 100000, retention => '1 year', timeout_ms => 10000)`)
	c.Exec(`select roomcast.upkeep()`)
}

// A deleted row's text goes, and what it was known by stays, whatever escapes its JSON has
// that Postgres holds and cannot read.
func TestWhatIsScrubbedKeepsItsIds(t *testing.T) {
	c := bare(t, `
		create table notes (id text primary key, room text, body json);
		select roomcast.attach('notes', name => 'note', room => 'room')`)
	bodies := []string{`{"a":"\u0000"}`, `"\ud800"`, `["\\\u0000\u0000", "\\u0041"]`, `"` + strings.Repeat("x", 20_000) + `\udc00"`}
	for i, body := range bodies {
		c.Exec(`insert into notes values (E'\u0001\\u"' || $1, 'r', $2)`, fmt.Sprint(i), body)
	}
	if n := one[int](c, `select count(*) from roomcast.claim('relay', 100, 100, '5 s') where record::json ->> 'id' like '%3' and stub`); n != 1 {
		t.Error("the large row is no stub with its ids")
	}
	c.Exec(`truncate notes`)
	c.Exec(`select roomcast.scrub_queued(100)`)
	c.wantEvents(
		`note DELETE r {"id": "\u0001\\u\"0", "room": "r"}`, `note DELETE r {"id": "\u0001\\u\"1", "room": "r"}`,
		`note DELETE r {"id": "\u0001\\u\"2", "room": "r"}`, `note DELETE r {"id": "\u0001\\u\"3", "room": "r"}`,
		`note BULK r {"name":"note","op":"TRUNCATE","count":4}`)
	if got := one[string](c, `select roomcast.field_of('{"a": "\u0000", "b": "x"}', 'b')`); got != "x" {
		t.Errorf("field %q", got)
	}
}
