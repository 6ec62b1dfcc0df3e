package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox/outboxtest"
)

func strange(t *testing.T, chat string) string {
	t.Helper()
	schema, err := os.ReadFile("testdata/" + chat + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	return string(schema)
}

// offered is the SQL of a note that a person may run as well: what stands below its first line.
func offered(t *testing.T, lines []statement, note string) string {
	t.Helper()
	i := slices.IndexFunc(lines, func(s statement) bool { return s.comment && strings.Contains(s.sql, note) })
	if i < 0 {
		t.Fatalf("no note %q in\n%s", note, show(lines))
	}
	_, sql, _ := strings.Cut(lines[i].sql, "\n")
	return sql
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	if err := outboxtest.Exec(t.Context(), url, sql); err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
}

// waiting is what waits to be sent, as "room name" in order.
func waiting(t *testing.T, url string) (list []string) {
	t.Helper()
	rows, err := outboxtest.Connect(t, url).Query(t.Context(), `select o.room || ' ' || a.name from roomcast.outbox o join roomcast.attached_tables a on a.id = o.attached order by o.id`)
	if err != nil {
		t.Fatal(err)
	}
	list, err = pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// may asks can_read.
func may(t *testing.T, url, room, user string) (yes bool) {
	t.Helper()
	if err := outboxtest.Connect(t, url).QueryRow(t.Context(), `select roomcast.may_read($1, $2::uuid, '{"email":"a@chat.example"}')`, room, user).Scan(&yes); err != nil {
		t.Fatal(err)
	}
	return yes
}

const (
	ann = "aaaaaaaa-0000-4000-8000-000000000001"
	bob = "bbbbbbbb-0000-4000-8000-000000000002"
)

// Small numbers name rooms, workspaces, calls and members: only a channel's own rows go to it.
// Members are known by a number that leads to the token's uuid, for one also later.
func TestPlanOfAWorkspace(t *testing.T) {
	t.Parallel()
	shown, url, lines := planOf(t, strange(t, "slack"))
	runPlan(t, url, lines)
	execute(t, url, `insert into auth.users (id) values ('`+ann+`'), ('`+bob+`');
		insert into public.users (id, auth_id, name) values (7, '`+ann+`', 'Ann'), (8, null, 'Bob');
		insert into public.workspaces values (1, 'lamps'); insert into public.workspace_members values (1, 1, 8);
		insert into public.channels values (1, 1, 'general'), (5, 1, 'private'); insert into public.channel_members values (5, 7), (5, 8)`)
	if !may(t, url, "5", ann) || may(t, url, "5", bob) || may(t, url, "1", ann) {
		t.Error("who may read is not by the members' uuids")
	}
	execute(t, url, `update public.users set auth_id = '`+bob+`' where id = 8`)
	if !may(t, url, "5", bob) || may(t, url, "1", bob) {
		t.Error("who signed up later is no member")
	}
	execute(t, url, `truncate roomcast.outbox; insert into public.messages values (1, 5, 7, null, 'hi'); insert into public.reactions values (1, 1, 7, '+1');
		insert into public.pins values (1, 8); insert into public.message_reports values (1, 1, 8, 'rude'); update public.workspaces set slug = 'x';
		insert into public.calls values (1, 7, 8, '{}'); insert into public.ice_candidates values (1, 1, '{}')`)
	want := []string{"5 message", "5 reaction", "5 pin", "workspaces/1 workspace", "@" + ann + " call", "@" + bob + " call", "@" + ann + " ice-candidate", "@" + bob + " ice-candidate"}
	if got := waiting(t, url); !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q\n%s", got, want, shown)
	}
	execute(t, url, offered(t, lines, "public.workspace_members says who is in public.workspaces"))
	if !may(t, url, "1", bob) || !may(t, url, "5", bob) || may(t, url, "1", ann) || may(t, url, "workspaces/1", ann) || !may(t, url, "workspaces/1", bob) {
		t.Error("who is of the workspace may not read its channels, or others may")
	}
	// The chat goes on whatever becomes of what the plan added; then nobody gets in.
	execute(t, url, `alter table public.users rename auth_id to auth; insert into public.channel_members values (1, 7);
		alter table public.channel_members drop column member_uuid cascade; update public.users set auth = null; insert into public.channel_members values (1, 8)`)
	if may(t, url, "1", ann) {
		t.Error("a member whose uuid cannot be found got in")
	}
}

// Two tenants have rooms of the same number.
func TestPlanOfTenants(t *testing.T) {
	t.Parallel()
	shown, url, lines := planOf(t, strange(t, "tenants"))
	runPlan(t, url, lines)
	execute(t, url, `insert into auth.users (id) values ('`+ann+`'), ('`+bob+`');
		insert into public.orgs values ('`+ann+`'), ('`+bob+`'); insert into public.rooms values ('`+ann+`', 1), ('`+bob+`', 1);
		insert into public.profiles (id, user_id, email) values ('11111111-0000-4000-8000-000000000001', '`+ann+`', 'x'), ('22222222-0000-4000-8000-000000000002', '`+bob+`', 'y');
		insert into public.room_members values ('`+ann+`', 1, '11111111-0000-4000-8000-000000000001'), ('`+bob+`', 1, '22222222-0000-4000-8000-000000000002')`)
	execute(t, url, `truncate roomcast.outbox; insert into public.messages values ('`+ann+`', 1, 1, null, 'hi', false), ('`+ann+`', 1, 2, null, 'a note', true);
		insert into public.reactions values ('`+ann+`', 1, 1, '11111111-0000-4000-8000-000000000001', '+1')`)
	want := []string{ann + "/1 message", ann + "/1/internal message", ann + "/1 reaction"}
	if got := waiting(t, url); !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q\n%s", got, want, shown)
	}
	if !may(t, url, ann+"/1", ann) || may(t, url, ann+"/1", bob) || may(t, url, ann+"/1/internal", ann) || may(t, url, "1", bob) {
		t.Error("another tenant's members may read, or a room's own may not")
	}
	execute(t, url, `update public.room_members set is_banned = true`)
	if may(t, url, ann+"/1", ann) {
		t.Error("who is banned reads on")
	}
	if strings.Contains(shown, "email,") || !strings.Contains(shown, "-- public.profiles: left out email") {
		t.Errorf("an address goes to others:\n%s", shown)
	}
}

// Names in quotes, in the way of Prisma, are read as others are.
func TestPlanOfPrisma(t *testing.T) {
	t.Parallel()
	check(t, strange(t, "prisma"), []string{`attach_members('public."RoomMember"', room_column => 'roomId', user_column => 'userId', active => '"leftAt" is null');`,
		`attach('public."MessageReaction"', name => 'reaction', room => 'select m."roomId" from public."Message" m where m.id = r."messageId"'`,
		`attach('public."DirectMessage"', name => 'direct-message', users => 'array[r."senderId", r."receiverId"]'`,
		`columns => '{id,"messageId","editedAt"}'`, `attach('public."User"', name => 'profile', room => 'array(select m."roomId" from public."RoomMember" m where m."userId" = r.id and m."leftAt" is null)'`}, nil)
}

// Users in jsonb, users by e-mail, one room for everybody.
func TestPlanOfOddMembers(t *testing.T) {
	t.Parallel()
	_, url, lines := planOf(t, `create schema app; create table app.chats (id bigint primary key, participants jsonb);
		create table app.message (id bigint primary key, chat_id bigint not null references app.chats, "user" uuid, "text" text);
		create table public.letters (id bigint primary key, participants text[])`)
	runPlan(t, url, lines)
	execute(t, url, `insert into app.chats values (1, '["`+ann+`", {"id":"`+strings.ToUpper(bob)+`"}, 3, "nobody"]'), (2, '{"a":1}'), (3, '"x"'), (4, null)`)
	if !may(t, url, "1", ann) || !may(t, url, "1", bob) || may(t, url, "2", ann) {
		t.Error("the users of a list in jsonb are not its room's members")
	}

	_, url, lines = planOf(t, `create table public.chats (id uuid primary key, participants text[]); insert into public.chats values ('`+ann+`', '{a@chat.example}'), ('`+bob+`', '{b@chat.example}');
		create table public.messages (id uuid primary key, chat_id uuid references public.chats, content text)`)
	runPlan(t, url, lines)
	execute(t, url, offered(t, lines, "names its users by e-mail"))
	if !may(t, url, ann, ann) || may(t, url, bob, ann) {
		t.Error("the token's address does not say who may read")
	}

	_, url, lines = planOf(t, `create table public.messages (id bigint primary key, username text, content text)`)
	runPlan(t, url, lines)
	if may(t, url, "everybody", ann) {
		t.Error("somebody may read before anybody said so")
	}
	execute(t, url, offered(t, lines, "one room for everybody")+`insert into public.messages values (1, 'ann', 'hi')`)
	if got := waiting(t, url); !may(t, url, "everybody", ann) || !slices.Equal(got, []string{"everybody message"}) {
		t.Errorf("sent %q, or nobody may read", got)
	}
}

// Columns whose types are domains are what their values are.
func TestPlanOfDomains(t *testing.T) {
	t.Parallel()
	check(t, `create domain public.uid as uuid; create domain public.flag as boolean; create domain public.moment as timestamptz;
		create table public.rooms (id public.uid primary key);
		create table public.messages (id public.uid primary key, room_id public.uid references public.rooms, user_id public.uid, content text);
		create table public.room_members (room_id public.uid references public.rooms, user_id public.uid references auth.users, left_at public.moment, banned public.flag, primary key (room_id, user_id))`,
		[]string{"attach_messages('public.messages', room_column => 'room_id'",
			"attach_members('public.room_members', room_column => 'room_id', user_column => 'user_id', active => 'left_at is null and banned is not true')"}, nil)
	check(t, `create domain public.uid as uuid; create domain public.uids as public.uid[];
		create table public.conversations (id public.uid primary key, participant_ids public.uids);
		create table public.messages (id public.uid primary key, conversation_id public.uid references public.conversations, content text)`,
		[]string{"attach_members('public.conversations', room_column => 'id', user_column => 'participant_ids')"}, nil)
}

// What setup says of columns by which members leave is what attach_members would have said.
func TestLeavingColumnsAreTheSchemas(t *testing.T) {
	t.Parallel()
	of := table{}
	schema := "create table public.people (room_id uuid, user_id uuid"
	add := func(names []string, kind string) {
		for _, name := range names {
			of.Columns = append(of.Columns, column{Name: name, Type: kind})
			schema += ", " + quoteIdent(name) + " " + kind
		}
	}
	add(leftWhen(), "timestamp with time zone")
	add(stillThere(), "boolean")
	add(hasLeft(), "boolean")
	_, url, _ := planOf(t, schema+"); create table public.messages (id uuid primary key, room_id uuid, content text)")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var want string
	if err := conn.QueryRow(t.Context(), `select string_agg(active, ' and ') from roomcast.leaving_columns('public.people')`).Scan(&want); err != nil {
		t.Fatal(err)
	}
	if got, _ := of.activeOf(""); got != want {
		t.Errorf("setup says\n%s\nthe schema\n%s", got, want)
	}
}

// A word of SQL is no column's name without quotes.
func TestQuoteIdent(t *testing.T) {
	for name, want := range map[string]string{"room": "room", "user": `"user"`, "order": `"order"`, "roomId": `"roomId"`, `a"b`: `"a""b"`} {
		if got := quoteIdent(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for name, want := range map[string]string{"roomId": "room_id", "UserID": "user_id", "RoomMember": "room_member", "HTTPToken": "http_token", "user_1": "user_1"} {
		if got := plain(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
