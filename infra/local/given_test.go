package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/supabase"
)

// ownChat is a chat that knows nothing of the demo: names, types and schema of its own.
const ownChat = `
	create schema chat;
	create table chat.conversation (id bigint primary key, title text);
	create table chat.attendee (conversation_id bigint references chat.conversation, person uuid, primary key (conversation_id, person));
	create table chat.post (id bigint generated always as identity primary key, conversation_id bigint references chat.conversation, body text);
	alter table chat.post enable row level security;
	create policy nobody on chat.post using (false);
	insert into chat.conversation values (7, 'Harbour');
	insert into chat.attendee values (7, 'a11ce000-0000-4000-8000-000000000001'), (7, 'b0b00000-0000-4000-8000-000000000002');
	insert into chat.post (conversation_id, body) values (7, 'before')`

const attachOwnChat = `
	select roomcast.configure(url => 'https://production.example/webhooks/supabase', secret => 'production-secret-of-32-characters');
	select roomcast.attach_messages('chat.post', room_column => 'conversation_id');
	select roomcast.attach_members('chat.attendee', room_column => 'conversation_id', user_column => 'person');
	select roomcast.attach('chat.post', name => 'mention', users => $$'a11ce000-0000-4000-8000-000000000001'$$)`

// userState is everything in a database that is not the relay's own: tables and their
// columns, policies, triggers, functions, roles, rows of the chat, and what was configured.
const userState = `
	select string_agg(x, e'\n' order by x) from (
		select format('table %s %s %s', c.oid::regclass, c.relkind, c.relrowsecurity) as x from pg_class c where c.relnamespace::regnamespace::text !~ '^pg_(temp|toast)' and c.relkind in ('r', 'v', 'p', 'i')
		union all select format('policy %s %s %s', polname, polrelid::regclass, pg_get_expr(polqual, polrelid)) from pg_policy
		union all select format('trigger %s %s', tgname, tgrelid::regclass) from pg_trigger where not tgisinternal
		union all select format('function %s %s', p.oid::regprocedure, md5(prosrc)) from pg_proc p where p.pronamespace >= 16384
		union all select format('role %s', rolname) from pg_roles where rolname !~ '^pg_'
		union all select format('publication %s', pubname) from pg_publication
		union all select format('post %s', p) from chat.post p
		union all select format('attendee %s', a) from chat.attendee a
		union all select format('settings %s', to_jsonb(s) - 'identity' - 'pusher_app') from roomcast.settings s
		union all select format('attached %s', s) from roomcast.attached_tables s) as state`

// newOwnChat makes a database with somebody's chat in it, attached or not.
func newOwnChat(t *testing.T, attach bool) string {
	t.Helper()
	database := outboxtest.Database(t)
	if err := outboxtest.Exec(t.Context(), database, ownChat); err != nil {
		t.Fatal(err)
	}
	if !attach {
		return database
	}
	if err := admin.Migrate(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	if err := outboxtest.Exec(t.Context(), database, attachOwnChat); err != nil {
		t.Fatal(err)
	}
	return database
}

// TestOwnChat runs the stack on a chat that it did not make: the function serves it, the
// page shows it, a row wakes the function, and nothing has changed afterwards.
func TestOwnChat(t *testing.T) {
	t.Parallel()
	database := newOwnChat(t, true)
	neighbour := outboxtest.Database(t) // roles are the whole cluster's, and TestDemoInGivenDatabase makes some
	if err := supabase.Install(t.Context(), neighbour); err != nil {
		t.Fatal(err)
	}
	conn := outboxtest.Connect(t, database)
	before := state(t, conn)
	s := launchWith(t, map[string]string{"IDLE_EXIT": "1s"}, "-postgres", database)
	if s.env["DEMO_ROOM"] != "7" || s.env["MEMBER_JWT"] == "" || s.env["OTHER_MEMBER_JWT"] == "" {
		t.Errorf("room %q, tokens %q %q", s.env["DEMO_ROOM"], s.env["MEMBER_JWT"], s.env["OTHER_MEMBER_JWT"])
	}
	form := url.Values{"socket_id": {"1.1"}, "channel_name": {"private-room-7"}}.Encode()
	for token, want := range map[string]int{s.env["MEMBER_JWT"]: 200, s.env["STRANGER_JWT"]: 403} {
		if status, body := call(t, "POST", s.env["ROOMCAST_URL"]+"/pusher/auth", token, form); status != want {
			t.Errorf("authorization: %d %s, want %d", status, body, want)
		}
	}
	ctx := browser(t)
	must(t, ctx, chromedp.Navigate(s.env["DEMO_URL"]), click(`#rooms button`))
	poll(t, ctx, `document.getElementById("status").textContent === "live"`)
	var id int64
	if err := conn.QueryRow(t.Context(), `insert into chat.post (conversation_id, body) values (7, 'seen <b>plainly</b>') returning id`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	poll(t, ctx, `document.querySelector('#events [data-event="new-message"] pre')?.textContent.includes("seen <b>plainly</b>")`)
	poll(t, ctx, `document.querySelector('#events [data-event="new-mention"]')?.textContent.includes("to this user")`)
	screenshot(t, ctx, "own-chat")
	s.cancel()
	if err := <-s.ended; err != nil {
		t.Errorf("stack: %v", err)
	}
	if _, err := conn.Exec(t.Context(), `delete from chat.post where id = $1`, id); err != nil {
		t.Fatal(err)
	}
	if after := state(t, conn); after != before {
		t.Errorf("left behind:\n%s", difference(before, after))
	}
}

// TestGivenDatabaseIsRefused: no demo beside another's tables, no function where nothing
// is attached, none on the outbox of another Pusher app.
func TestGivenDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	_, err := outboxtest.FindBin()
	need(t, err)
	own := newOwnChat(t, false)
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"-postgres", own, "-demo"}, "chat.attendee"},
		{[]string{"-postgres", own}, "nothing is attached"},
		{[]string{"-postgres", "postgres://u:hush@127.0.0.1:1/x"}, "-postgres: "},
		{[]string{"-pusher", "http://k:hush@/apps"}, "-pusher: must look like"},
	} {
		err := run(t.Context(), tc.args, with(nil), testLog{t}, testLog{t})
		if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%v: %v, want %s", tc.args, err, tc.says)
		}
	}
	bound := newOwnChat(t, true)
	if err := outboxtest.Exec(t.Context(), bound, `select roomcast.configure(pusher_app => '4711')`); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"-postgres", bound}, with(nil), testLog{t}, testLog{t}); err == nil || !strings.Contains(err.Error(), "4711") {
		t.Errorf("another app's outbox: %v", err)
	}
}

// TestDemoInGivenDatabase: the demo is made beside Supabase's own tables, and its
// wake-up's address is taken back.
func TestDemoInGivenDatabase(t *testing.T) {
	t.Parallel()
	database := outboxtest.Database(t)
	if err := supabase.Install(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds its own tables
		s := launch(t, "-postgres", database, "-demo")
		if status, body := call(t, http.MethodGet, s.env["ROOMCAST_URL"]+"/healthz", "", ""); status != http.StatusOK {
			t.Errorf("%d %s", status, body)
		}
		s.cancel()
		if err := <-s.ended; err != nil {
			t.Errorf("stack: %v", err)
		}
	}
	var address string
	if err := outboxtest.Connect(t, database).QueryRow(t.Context(), `select coalesce(url, 'none') from roomcast.settings`).Scan(&address); err != nil || address != "none" {
		t.Errorf("the wake-up still goes to %s, %v", address, err)
	}
}

func state(t *testing.T, conn interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}) (state string) {
	t.Helper()
	if err := conn.QueryRow(context.WithoutCancel(t.Context()), userState).Scan(&state); err != nil {
		t.Fatal(err)
	}
	return state
}

// difference lists the lines of each side that the other lacks.
func difference(before, after string) string {
	var out strings.Builder
	for _, side := range []struct{ sign, one, other string }{{"-", before, after}, {"+", after, before}} {
		for line := range strings.Lines(side.one) {
			if !strings.Contains(side.other, strings.TrimSpace(line)) {
				fmt.Fprintf(&out, "%s %s\n", side.sign, strings.TrimSpace(line))
			}
		}
	}
	return out.String()
}
