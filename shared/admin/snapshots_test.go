package admin_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
)

// What holds back cleaning is named by kind: sessions that read, sessions that write in
// another database, prepared transactions, slots; cleaned and cut, and nobody who does not.
func TestSnapshotHolders(t *testing.T) {
	server := outboxtest.Start(t, outboxtest.Options{Settings: map[string]string{"max_prepared_transactions": "5", "wal_level": "logical"}})
	address := server.URL("postgres")
	if err := outboxtest.InstallChat(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	c := &chat{&outboxtest.Fixture{T: t, URL: address, Conn: outboxtest.Connect(t, address), DB: outboxtest.Open(t, address)}}
	op := admin.Operator{DB: c.DB}
	named := func(address, name string) string { return address + "&application_name=" + url.PathEscape(name) }
	hold := func(address string, statements ...string) {
		t.Helper()
		conn := outboxtest.Connect(t, address)
		for _, sql := range statements {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Exec(`create database elsewhere`)
	elsewhere := server.URL("elsewhere")
	c.Exec(`select pg_create_logical_replication_slot('left_behind', 'pgoutput')`)
	hold(named(address, "the \"yearly\" report {{ $labels }} "+strings.Repeat("x", 80)), `begin isolation level repeatable read`, `select 1`)
	hold(address, `begin`, `insert into messages (room_id, content) values (gen_random_uuid(), 'prepared')`, `prepare transaction 'job: <é>'`)
	hold(named(elsewhere, "writes elsewhere"), `create table x ()`, `begin`, `insert into x default values`)
	hold(named(elsewhere, "reads elsewhere"), `begin isolation level repeatable read`, `select 1`)
	hold(named(address, "idle"), `begin`, `select 1`) // whose snapshot is gone
	c.Exec(insertMessage, roomA, user1, "behind them")
	c.Exec(insertMessage, roomA, user1, "and one more")

	holders, err := op.SnapshotHolders(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range holders {
		if h.Age < 0 || h.Age > time.Minute || h.Kind == "session" && h.PID == 0 {
			t.Errorf("%+v", h)
		}
		got = append(got, h.Kind+" "+h.Who)
	}
	slices.Sort(got)
	want := []string{"catalog left_behind", "prepared job: ???", "session the ?yearly? report ?? ?labels ?? " + strings.Repeat("x", 29), "session writes elsewhere"}
	if !slices.Equal(got, want) {
		t.Errorf("named are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if young, err := op.SnapshotHolders(t.Context(), time.Minute); err != nil || len(young) > 0 {
		t.Errorf("older than a minute: %v, %v", young, err)
	}
	// What has no time of its own is as old as the first row behind it; a session is no
	// older than its transaction.
	c.Exec(`update roomcast.outbox set at = at - interval '1 hour' where id = (select min(id) from roomcast.outbox)`)
	c.Exec(`insert into messages (room_id, content) select gen_random_uuid(), 'many' from generate_series(1, 300)`)
	old, err := op.SnapshotHolders(t.Context(), 30*time.Minute)
	if err != nil || len(old) != 1 || old[0].Kind != "catalog" || old[0].Age < time.Hour || old[0].Age > 2*time.Hour {
		t.Errorf("older than half an hour: %+v, %v", old, err)
	}
}
