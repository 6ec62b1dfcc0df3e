package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/supabase"
)

// planOf is what setup -yes would attach in a database with this schema.
func planOf(t *testing.T, schema string) (shown, databaseURL string, lines []statement) {
	t.Helper()
	databaseURL = outboxtest.DatabaseFrom(t, "supabase", func(ctx context.Context, url string) error {
		return errors.Join(supabase.Install(ctx, url), admin.Migrate(ctx, url))
	})
	if err := outboxtest.Exec(t.Context(), databaseURL, schema); err != nil {
		t.Fatal(err)
	}
	db, err := open(t.Context(), databaseURL, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.close()
	var out strings.Builder
	a := &asker{out: &out, known: map[string]string{}, yes: true}
	var want wanted
	if err := askTables(t.Context(), a, db, &want); err != nil {
		t.Fatal(err)
	}
	if err := a.complete(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	lines = plan(want, db.tables(), db.attachments)
	return show(lines), databaseURL, lines
}

// runPlan runs it in that database, as setup does.
func runPlan(t *testing.T, databaseURL string, lines []statement) {
	t.Helper()
	for _, s := range lines {
		if s.comment {
			continue
		}
		if err := outboxtest.Exec(t.Context(), databaseURL, s.sql); err != nil {
			t.Errorf("%s: %v", s.sql, err)
		}
	}
}

func check(t *testing.T, schema string, want, not []string) {
	t.Helper()
	shown, url, lines := planOf(t, schema)
	for _, line := range want {
		if !strings.Contains(shown, line) {
			t.Errorf("the plan lacks %q:\n%s", line, shown)
		}
	}
	for _, line := range not {
		if strings.Contains(shown, line) {
			t.Errorf("the plan has %q:\n%s", line, shown)
		}
	}
	runPlan(t, url, lines)
}

// The chats of the guide are found by their schemas alone.
func TestPlansOfTheGuidesChats(t *testing.T) {
	for chat, want := range map[string][]string{
		"roles": {"attach_messages('public.messages', room_column => 'channel_id'", "attach_members('public.channel_members', room_column => 'channel_id', user_column => 'user_id');"},
		"participants": {"attach_messages('public.messages', room_column => 'conversation_id'", "attach_members('public.conversations', room_column => 'id', user_column => 'participant_ids');",
			"attach('public.message_reactions', name => 'reaction', room => 'select m.conversation_id from public.messages m where m.id = r.message_id'"},
		"direct": {"attach('public.messages', name => 'message', users => 'array[r.sender_id, r.recipient_id]'"},
		"messenger": {"attach_messages('public.group_messages', room_column => 'group_id'", "attach_members('public.group_members', room_column => 'group_id', user_column => 'user_id', active => 'left_at is null');",
			"attach('public.contacts', name => 'contact', users => 'array[r.user_id, r.contact_id]'", "attach('public.file_requests', name => 'file-request', users => 'array[r.from_user, r.to_user]'"},
		"flutter": {"attach_messages('public.messages', room_column => 'room_id'", "attach_members('public.room_members', room_column => 'room_id', user_column => 'profile_id', active => 'is_active');"},
		"composite": {"attach('talk.posts', name => 'message', room => 'r.team || ''/'' || r.no::text'",
			"alter table talk.members add column room text generated always as (team || '/' || no::text) stored;\ncreate index on talk.members (room, member);",
			"attach_members('talk.members', room_column => 'room', user_column => 'member');"},
		"market": {"alter table public.conversations add column participants uuid[] generated always as (array[buyer_id, seller_id]) stored;",
			"attach_members('public.conversations', room_column => 'id', user_column => 'participants');", "attach('public.conversations', name => 'conversation', users => 'r.participants'",
			"attach('public.attachment_scans', name => 'attachment-scan', room => 'select m.conversation_id from public.message_attachments a join public.messages m on m.id = a.message_id where a.id = r.attachment_id'",
			"attach('public.blocked_users', name => 'blocked-user', users => 'r.blocker_id'"},
		"groups": {"attach_members('public.group_members', room_column => 'group_id', user_column => 'user_id', active => 'status = ''active''');",
			"attach('public.group_invites', name => 'group-invite', users => 'array[r.inviter_id, r.invitee_id]'", "attach('public.message_status', name => 'status'",
			"attach('public.poll_votes', name => 'poll-vote', room => 'select m.group_id from public.poll_options a join public.polls m on m.id = a.poll_id where a.id = r.option_id'",
			"attach('public.profiles', name => 'profile', room => 'array(select m.group_id from public.group_members m where m.user_id = r.id and m.status = ''active'')'"},
		"tickets": {"attach('public.ticket_messages', name => 'message', room => 'r.ticket_id || case when r.internal then ''/internal'' else '''' end'", "-- no table says who is in a room of public.ticket_messages", "attach('public.ticket_events', name => 'ticket-event', room => 'r.ticket_id'"},
	} {
		t.Run(chat, func(t *testing.T) {
			schema, err := os.ReadFile("../moving/chats/" + chat + "/schema.sql")
			if err != nil {
				t.Fatal(err)
			}
			check(t, string(schema), want, nil)
		})
	}
}

// What only looks like the chat's messages is passed over, and so is a column that no row
// fills (M12).
func TestPlanIsNotFooled(t *testing.T) {
	check(t, `create table public.rooms (id uuid primary key default gen_random_uuid());
		create table public.ai_messages (id uuid primary key, session_id uuid, chat_id uuid, content text);
		create table public.messages (id uuid primary key default gen_random_uuid(), thread_id uuid, parent_id uuid references public.messages, conversation_id uuid references public.rooms, content text);
		create table public.room_bans (room_id uuid references public.rooms, user_id uuid, primary key (room_id, user_id));
		create table public."Room Members" (room uuid not null references public.rooms, "User" uuid not null references auth.users, status text, primary key (room, "User"));
		insert into public.rooms values (gen_random_uuid()); insert into public.messages (conversation_id, content) select id, 'x' from public.rooms`,
		[]string{"attach_messages('public.messages', room_column => 'conversation_id'", `attach_members('public."Room Members"', room_column => 'room', user_column => 'User')`,
			"-- public.\"Room Members\" has a column status: if members leave by it"},
		[]string{"attach_messages('public.ai_messages", "thread_id'", "attach_members('public.room_bans"})
}

// Of the other tables those are attached that Supabase Realtime listens to today; the rest
// is shown as comments.
func TestPlanFollowsThePublication(t *testing.T) {
	check(t, `create table public.rooms (id uuid primary key);
		create table public.messages (id uuid primary key, room_id uuid references public.rooms, content text);
		create table public.room_members (room_id uuid references public.rooms, user_id uuid, primary key (room_id, user_id));
		create table public.message_reads (message_id uuid references public.messages, user_id uuid, primary key (message_id, user_id));
		create table public.replies (id uuid primary key, message_id uuid references public.messages, note text);
		drop publication if exists supabase_realtime;
		create publication supabase_realtime for table public.messages, public.message_reads`,
		[]string{"\nselect roomcast.attach('public.message_reads', name => 'read', room => 'select m.room_id from public.messages m where m.id = r.message_id'",
			"-- not listened to today: select roomcast.attach('public.replies', name => 'reply'"}, nil)
}

// Further shapes, whose plans are not the guide's own.
func TestPlansOfOtherChats(t *testing.T) {
	for chat, want := range map[string][]string{
		"forum": {"attach_messages('public.posts', room_column => 'topic_id'", "-- no table says who is in a room of public.posts", "attach('public.post_votes', name => 'post-vote', room => 'select m.topic_id from public.posts m where m.id = r.post_id'"},
		"friends": {"attach('public.direct_messages', name => 'message', users => 'array[r.from_id, r.to_id]'", "attach('public.users', name => 'profile', users => 'r.id'",
			"users => 'select unnest(array[m.from_id, m.to_id]) from public.direct_messages m where m.id = r.message_id'"},
		"rooms_of_two": {"attach_messages('public.chat_messages', room_column => 'chat_id'", "attach_members('public.chats', room_column => 'id', user_column => 'participants');",
			"attach('public.profiles', name => 'profile', room => 'array(select m.id from public.chats m where r.id = any (m.participants))'"},
	} {
		t.Run(chat, func(t *testing.T) {
			schema, err := os.ReadFile("testdata/" + chat + ".sql")
			if err != nil {
				t.Fatal(err)
			}
			check(t, string(schema), want, nil)
		})
	}
}

// Two keys of several columns are never one text.
func TestKeyText(t *testing.T) {
	of := table{Columns: []column{{Name: "a", Type: "text"}, {Name: "b", Type: "integer"}, {Name: "Name", Type: "character varying(20)"}}}
	for want, columns := range map[string][]string{
		"r.a || '/' || r.b::text":                                  {"a", "b"},
		`length(r.a)::text || ':' || r.a || '/' || r."Name"::text`: {"a", "Name"},
	} {
		if got := of.keyText("r.", columns); got != want {
			t.Errorf("%v: %s, want %s", columns, got, want)
		}
	}
}

// What cannot be used is told by its name, before anything is changed.
func TestBadAnswersAreNamed(t *testing.T) {
	_, databaseURL, _ := planOf(t, `create table public.messages (id uuid primary key, room_id uuid, content text);
		create table public.members (room_id uuid, user_id uuid, primary key (room_id, user_id))`)
	db, err := open(t.Context(), databaseURL, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.close()
	for name, of := range map[string]struct{ value, says string }{
		"MESSAGES_TABLE":      {"public.nothing", "is not among the tables here"},
		"MESSAGES_COLUMNS":    {"room_id,content", `must name "id"`},
		"MEMBERS_ROOM_COLUMN": {"chat_id", "chat_id"},
		"MEMBERS_ACTIVE":      {"left_at is", "syntax error"},
	} {
		a := &asker{out: io.Discard, known: map[string]string{name: of.value}, yes: true}
		if err := askTables(t.Context(), a, db, &wanted{}); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), of.says) {
			t.Errorf("%s=%s: %v, want %s", name, of.value, err, of.says)
		}
	}
}
