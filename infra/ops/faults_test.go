package main

import (
	"net/http"
	"strings"
	"time"

	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/selfcheck"
)

// fault is one thing wrong with an otherwise healthy installation.
type fault struct {
	name   string
	plant  func(*installation)
	check  string // which finds it
	as     verdict
	found  string // part of what it says
	remedy string // part of what it says to do
}

func sql(statements string) func(*installation) {
	return func(p *installation) { p.Helper(); p.exec(statements) }
}

func faults() []fault {
	return []fault{
		{"a secret is not set", func(p *installation) { p.PusherSecret = "" }, "settings", failure, "PUSHER_SECRET", "set them"},
		{"no database is named", func(p *installation) { p.OwnerURL, p.DatabaseURL = "", "" }, "database", failure, "no database", "OWNER_DATABASE_URL"},
		{"the database is away", func(p *installation) { p.OwnerURL = "postgres://nobody@127.0.0.1:1/none" }, "database", failure, "cannot be reached", "host, port and password"},

		{"nothing is installed", sql(`drop schema roomcast cascade`), "schema", failure, "001_schema.sql", "ops migrate"},
		{"a function is of another version", sql(`create or replace function roomcast.may_sleep() returns boolean language sql as 'select true'`), "schema", failure, "may_sleep", "ops migrate"},
		{"the program is the older one", sql(`insert into roomcast.migrations values (999)`), "schema", failure, "version 999", "deploy"},

		{"the trigger is gone", sql(`drop trigger roomcast_4_insert on messages`), "tables", failure, "lost a trigger", "attach_messages('messages'"},
		{"the trigger is disabled", sql(`alter table messages disable trigger roomcast_4_insert`), "tables", failure, "disabled", "enable trigger user"},
		{"all triggers are for replicas", sql(`alter table messages enable replica trigger roomcast_4_insert`), "tables", failure, "disabled", "enable trigger"},
		{"the truncate trigger is gone", sql(`drop trigger roomcast_4_truncate on messages`), "tables", warning, "truncate", "attach_messages"},
		{"a listed column was dropped", sql(`alter table messages drop column content`), "tables", failure, "lost content", "attach_messages"},
		{"the room column was renamed", sql(`alter table messages rename column room_id to channel_id`), "tables", failure, "lost room_id", "attach_messages"},
		{"the table was dropped", sql(`drop table messages`), "tables", failure, "was dropped", "detached_at"},
		{"who leaves softly reads on", sql(`alter table room_participants add column left_at timestamptz`), "tables", warning, "room_participants has left_at", "active => 'left_at is null'"},
		{"who is deleted reads on", sql(`alter table room_participants add column "isDeleted" boolean, add column revoked_at timestamptz, add column status text`),
			"tables", warning, "room_participants has isDeleted, revoked_at, status", `active => '"isDeleted" is not true and revoked_at is null and status = ''…'''`},
		{"members are numbers", sql(`create table staff (room_id uuid, member bigint); select roomcast.attach_members('staff', user_column => 'member')`), "tables", warning, "staff.member is bigint", "MOVING.md"},
		{"a look-up is slow", sql(`create table reactions (id int primary key, message_id uuid); insert into reactions values (1);
			select roomcast.attach('reactions', name => 'reaction', columns => '{id,message_id}', room => 'select m.room_id from public.messages m, pg_sleep(0.1) where m.id = r.message_id or true');
			insert into messages (room_id) values ('` + roomA + `')`), "tables", warning, "finding the room of a row of reactions takes 1", "index"},
		{"a look-up has lost its table", sql(`create table likes (id int primary key, message_id uuid); create table other as select * from messages; insert into likes values (1);
			select roomcast.attach('likes', name => 'like', columns => '{id,message_id}', room => 'select o.room_id from public.other o where o.id = r.message_id'); drop table other`),
			"tables", failure, "the look-up of likes fails", "roomcast.attach('likes', name => 'like'"},
		{"nothing is attached", sql(`select roomcast.detach('messages')`), "tables", failure, "no table of messages", "attach_messages"},
		{"nobody may listen", sql(`select roomcast.detach('room_participants')`), "members", warning, "nobody may listen", "attach_members"},
		{"the old webhook is still there", sql(`create schema supabase_functions;
			create function supabase_functions.http_request() returns trigger language plpgsql as 'begin return new; end';
			create trigger "to-pusher" after insert on messages for each row execute function supabase_functions.http_request()`),
			"old webhooks", warning, "to-pusher on messages", "Webhooks"},

		{"the relay lacks a right", sql(`revoke execute on function roomcast.may_sleep() from roomcast_relay`), "relay's role", failure, "may_sleep", "ops migrate"},
		{"the relay lacks the schema", sql(`revoke usage on schema roomcast from roomcast_relay`), "relay's role", failure, "may not execute", "ops migrate"},
		{"the relay can read messages", sql(`grant select on messages to roomcast_relay`), "relay's role", failure, "can read messages", "revoke select on messages"},
		{"everybody can read a column of them", sql(`grant select (content) on messages to public`), "relay's role", failure, "can read messages", "revoke select"},
		{"browsers may use the schema", sql(`do $$ begin create role anon nologin; exception when duplicate_object then null; end $$; grant usage on schema roomcast to anon`),
			"relay's role", failure, "anon may use the schema", "ops migrate"},
		{"the login is not the relay's", func(p *installation) { p.login("ops_stranger", ""); p.DatabaseURL = p.as("ops_stranger") }, "relay's login", failure, "may not execute", "grant roomcast_relay to ops_stranger"},
		{"the login is the owner's", func(p *installation) { p.DatabaseURL = p.OwnerURL }, "relay's login", warning, "can read messages", "create role"},
		{"the login's password is wrong", func(p *installation) { p.DatabaseURL = strings.Replace(p.DatabaseURL, password, "wrong", 1) }, "relay's login", failure, "does not let in", "password"},

		{"a copy of another database", sql(`update roomcast.settings set home = '1:1'`), "wake-up settings", failure, "copied from another", "roomcast.configure()"},
		{"no wake-up URL", sql(`update roomcast.settings set url = null`), "wake-up settings", failure, "no wake-up URL", "roomcast.configure(url"},
		{"the wake-up URL's path is wrong", func(p *installation) { p.configure(p.function.URL + "/webhook") }, "wake-up settings", failure, "does not end in", "roomcast.configure(url"},
		{"no secret", sql(`update roomcast.settings set secret = null`), "wake-up settings", failure, "no secret", "ops secret"},
		{"the secrets differ", sql(`select roomcast.configure(secret => 'another-secret-of-32-characters-0')`), "wake-up settings", failure, "none of WEBHOOK_SECRET", "ops secret"},
		{"the function knows another secret", func(p *installation) {
			p.exec(`select roomcast.configure(secret => 'another-secret-of-32-characters-0')`)
			p.WebhookSecrets = []string{"another-secret-of-32-characters-0"}
		}, "wake-up", failure, "refuses the database's secret (401)", "WEBHOOK_SECRET"},
		{"pg_net has no patience", sql(`select roomcast.configure(timeout_ms => 1000)`), "wake-up settings", warning, "gives up after 1.0 s", "timeout_ms => 5000"},
		{"the start is slow", func(p *installation) {
			p.exec(`select roomcast.configure(timeout_ms => 1000)`)
			p.function.delay = delays(600*time.Millisecond, 0)
		}, "wake-up", warning, "the first answer took", "timeout_ms => 10000"},
		{"the function answers slowly", func(p *installation) { p.function.delay = delays(0, 1100*time.Millisecond) }, "wake-up", warning, "an awake function took", "region"},
		{"the function is not there", func(p *installation) { p.function.Close() }, "wake-up", failure, "no answer from here", "deployed"},
		{"the wake-up URL redirects", answers(http.StatusMovedPermanently), "wake-up", failure, "redirects (301)", "final https address"},
		{"there is no wake-up route at the address", answers(http.StatusNotFound), "wake-up", failure, "no wake-up route at this address (404)", "roomcast.configure(url"},
		{"the function fails", answers(http.StatusInternalServerError), "wake-up", failure, "answers a wake-up with 500", "log"},

		{"no pg_net", func(p *installation) { p.sender.Stop(); p.exec(`drop schema net cascade`) }, "pg_net", failure, "has no pg_net", "create extension pg_net"},
		{"pg_net's worker is dead", func(p *installation) { p.sender.Stop(); p.patience = 2 * time.Second }, "pg_net", failure, "has not sent its wake-up", "net.worker_restart()"},
		{"pg_net gets no answer in time", func(p *installation) {
			p.exec(`update roomcast.settings set timeout_ms = 1000`)
			p.function.delay = delays(1500 * time.Millisecond)
		}, "pg_net", failure, "had no answer in 1.0 s", "timeout_ms"},

		{"a table began to inherit", sql(`create table more (like messages including all); alter table more inherit messages`), "tables", failure, "more below messages", "follow_children"},
		{"messages came below another table", sql(`create table above (like messages); alter table messages inherit above`), "tables", failure, "messages is now below above", "attach above in its place"},
		{"a partition's trigger is disabled", sql(`create table more () inherits (messages); select roomcast.follow_children(); alter table more disable trigger user`),
			"tables", failure, "more below messages: a trigger is disabled", "alter table more enable trigger user"},
		{"members were made again", sql(`drop table room_participants; select roomcast.repair_captures(); create table room_participants (room_id uuid, user_id uuid)`),
			"capture", failure, "public.room_participants (member)", "attach the new one as the old one was"},
		{"a dump brought triggers", sql(`create table brought (like messages); create trigger roomcast_4_insert after insert on brought referencing new table as new_rows for each statement execute function roomcast.capture_4_insert()`),
			"capture", failure, "roomcast_4_insert on brought", "drop trigger"},
		{"a partition was dropped", sql(`insert into roomcast.audits (relation, problem, note) values ('messages', 'partition dropped', 'number 1')`), "tables", warning, "messages: partition dropped: number 1", "roomcast.send"},
		{"tables were swapped", sql(`create table messages_new (like messages including all); alter table messages rename to messages_old; alter table messages_new rename to messages`),
			"capture", failure, "public.messages is now messages_old", "attach the new one"},
		{"no commit requests a wake-up", sql(`alter table roomcast.outbox disable trigger user`), "capture", failure, "rows wait for the sweep", "enable trigger user"},
		{"the outbox has another owner", sql(`alter table roomcast.outbox owner to roomcast_relay`), "capture", failure, "roomcast.outbox (roomcast_relay's)", "owner to"},
		{"the outbox is closed to its owner", func(p *installation) {
			p.ownedBy("ops_owner")
			p.exec(`alter table roomcast.outbox enable row level security; alter table roomcast.outbox force row level security; revoke insert on roomcast.unroutable from ops_owner`)
		}, "capture", failure, "may not use its own tables: the chat's statements fail: roomcast.outbox, roomcast.unroutable", "ops migrate"},
		{"members are hidden from the owner", func(p *installation) {
			p.ownedBy("ops_owner")
			p.exec(`grant select on messages, room_participants to ops_owner; alter table room_participants enable row level security; alter table messages disable row level security`)
		}, "capture", failure, "cannot read all of an attached table: of members, nobody may listen; look-ups, TRUNCATE and the audit see nothing: room_participants (member)", "bypassrls"},
		{"a subscription writes messages", (*installation).subscribe,
			"capture", warning, "messages (subscription sub_", "repairs => true"},
		{"a role writes as a replica", sql(`do $$ begin execute format('alter database %I set session_replication_role = replica', current_database()); end $$`), "capture", warning, "session_replication_role=replica", "reset"},
		{"the audit found rows", sql(`insert into roomcast.audits (relation, problem, found) values ('messages', 'missing', 3)`), "audit", warning, "3 of messages, missing", "roomcast.repair"},
		{"the audit is not scheduled", sql(`select cron.unschedule('roomcast-audit')`), "audit", warning, "not scheduled", "roomcast.configure()"},
		{"no pg_cron", sql(`drop schema cron cascade`), "sweep", warning, "no pg_cron", "create extension pg_cron"},
		{"the sweep is not scheduled", sql(`select cron.unschedule('roomcast-sweep')`), "sweep", failure, "not scheduled", "roomcast.configure()"},
		{"the sweep is switched off", sql(`update cron.job set active = false`), "sweep", failure, "switched off", "cron.alter_job"},
		{"the sweep is too seldom", sql(`update cron.job set schedule = '* * * * *'`), "sweep", warning, "* * * * *", "roomcast.configure()"},
		{"the sweep fails", sql(`insert into cron.job_run_details (jobid, status, return_message, start_time) select jobid, 'failed', 'permission denied', now() from cron.job`),
			"sweep", failure, "permission denied", "fix"},

		{"the function has lost its database", func(p *installation) { p.function.health = `{"mode":"forward-only","channels":"private"}` }, "function", failure, "without a database", "DATABASE_URL"},
		{"other channels than we think", func(p *installation) { p.RoomChannels = []string{"private", "presence"} }, "its settings", failure, "other values of ROOM_CHANNELS", "deploy"},
		{"an older version is deployed", func(p *installation) { p.function.self = nil }, "function", failure, "cannot say what it sees", "deploy this version"},
		{"the wake-up wakes nobody", func(p *installation) { p.function.awake, p.leaseWait = func() {}, time.Second }, "wake-up", failure, "no relay took the awake lease", "does not reach this database"},
		{"the function's password is wrong", func(p *installation) {
			p.function.self.Database = &selfcheck.Database{Host: "db:6543", Error: "password authentication failed"}
		}, "its database", failure, "the function cannot use its database (db:6543): password", "DATABASE_URL"},
		{"the function's project is paused", func(p *installation) {
			p.function.self.Database = &selfcheck.Database{Error: "FATAL: Tenant or user not found"}
		}, "its database", failure, "Tenant or user not found", "another region"},
		{"the function uses another server", func(p *installation) { p.function.self.Database.SystemIdentifier = "1" }, "its database", failure, "another database server", "DATABASE_URL"},
		{"the function uses another database", func(p *installation) { p.function.self.Database.Name = "staging" }, "its database", failure, "uses the database staging", "DATABASE_URL"},
		{"the function's database is a replica", func(p *installation) { p.function.self.Database.ReadOnly = true }, "its database", failure, "read-only", "primary"},
		{"the function is newer than the schema", func(p *installation) {
			p.function.self.Database.SchemaExpected, p.function.self.Database.Missing = 2, []string{"002_more.sql"}
		}, "its database", failure, "expects schema 2, and its database has 1: 002_more.sql is missing", "ops migrate"},
		{"the function is older than the schema", func(p *installation) { p.function.self.Database.SchemaExpected = 0 }, "its database", warning, "the function is older", "deploy"},
		{"the function publishes to another app", func(p *installation) { p.function.self.Pusher.AppID = "999" }, "its pusher", failure, "PUSHER_APP_ID 999", "PUSHER_APP_ID"},
		{"the outbox belongs to another app", sql(`select roomcast.configure(pusher_app => 'production')`), "outbox's app", failure, "belongs to Pusher app production and refuses the function's", "pusher_app"},
		{"Pusher refuses the function's signature", func(p *installation) {
			p.function.self.Pusher.Reachable, p.function.self.Pusher.Status, p.function.self.Pusher.Error = false, 401, "pusher answered 401"
		}, "its pusher", failure, "does not take the function's requests: pusher answered 401", "PUSHER_SECRET"},
		{"Pusher's quota is spent, says the function", func(p *installation) {
			p.function.self.Pusher.Reachable, p.function.self.Pusher.Status = false, 403
		}, "its pusher", failure, "403", "quota"},
		{"the function has another Pusher secret", func(p *installation) { p.function.self.Prints["PUSHER_SECRET"] = "0" }, "its settings", failure, "other values of PUSHER_SECRET", "task deploy"},
		{"the function lacks a setting", func(p *installation) { delete(p.function.self.Prints, "SUPABASE_URL") }, "its settings", failure, "lacks SUPABASE_URL", "task deploy"},
		{"a setting is not here", func(p *installation) { p.function.self.Prints["PARITY_SECRET"] = "0" }, "its settings", warning, "PARITY_SECRET", "add them"},
		{"the relay pauses", func(p *installation) {
			p.function.self.Relay.PausedSince, p.function.self.Relay.PusherAnswer = new(time.Now().Add(-time.Minute)), "pusher answered 403"
		}, "its relay", failure, "pusher answered 403", "Pusher"},
		{"pages poll", func(p *installation) {
			p.function.self.Relay.Polling = &selfcheck.Polling{Since: time.Now().Add(-5 * time.Minute), Answer: "pusher answered 403", EverySeconds: 10, LastMinute: 42}
		}, "its relay", failure, "Visible pages poll, each about every 10 s: 42 requests in the last minute", "Pusher"},
		{"the canary is not heard", func(p *installation) {
			p.function.self.Relay.Canary = &selfcheck.Canary{Result: "missed", At: time.Now().Add(-time.Minute)}
		}, "its relay", warning, "did not hear its own row through Pusher 1 min", "status page"},
		{"the function cannot fetch the keys", func(p *installation) { p.function.self.Keys = &selfcheck.Keys{Error: "no such host"} }, "its relay", failure, "keys of users' tokens: no such host", "SUPABASE_URL"},
		{"the test event does not get through", func(p *installation) { p.function.self.Event = &selfcheck.Event{Error: "timeout"} }, "its relay", failure, "a test event did not get through: timeout", "log"},
		{"can_read raises", sql(`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean language plpgsql as 'begin return 1/0; end'`),
			"can_read", failure, "division by zero", "correct roomcast.can_read"},
		{"can_read says yes to all", sql(`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean language sql as 'select true'`),
			"can_read", warning, "yes to", "is that meant"},
		{"can_read says no to members", sql(`insert into room_participants (room_id, user_id) values ('` + roomA + `', '` + roomB + `');
			create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean language sql as 'select false'`),
			"can_read", warning, "can_read says no to the member " + roomB + " of room " + roomA, "attached tables of members"},
		{"a report holds an old snapshot", holdSnapshot, "snapshots", warning, "nightly report", "pg_terminate_backend"},
		{"snapshots are hidden from the owner", func(p *installation) { p.ownedBy("ops_owner") }, "snapshots", warning, "ops_owner, the owner of the schema roomcast, does not see other roles' transactions", "grant pg_read_all_stats to ops_owner"},
		{"the login's connections are spent", func(p *installation) {
			p.login("ops_limited", "in role roomcast_relay connection limit 2")
			p.DatabaseURL = p.as("ops_limited")
		}, "connections", warning, "2 connections of the role ops_limited left", "6543"},
		{"the database's connections are spent", sql(`do $$ begin execute format('alter database %I connection limit 0', current_database()); end $$`), "connections", failure, "no connection of the database is left", "raise the limit"},
		{"the disk is full", sql(`do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$`), "writes", failure, "read-only", "disk"},
		{"rows go at once", sql(`update roomcast.settings set retention = '1 second'`), "retention", failure, "sent rows go after 00:00:01", "retention => '24 hours'"},
		{"the project is paused", func(p *installation) { p.keys.Fail(540) }, "tokens", failure, "paused", "restore"},
		{"something else answers", func(p *installation) { p.function.health = `<html>` }, "function", failure, "not Roomcast", "ROOMCAST_URL"},

		{"Pusher's secret is wrong", func(p *installation) { p.PusherSecret = "wrong" }, "pusher", failure, "refuses our signature", "PUSHER_SECRET"},
		{"Pusher's app is another", func(p *installation) { p.PusherAppID = "999" }, "pusher", failure, "pusher answered", "PUSHER_APP_ID"},
		{"Pusher is over its quota", func(p *installation) { p.emulated(pushertest.Fault{Status: 403}) }, "pusher", failure, "quota", "dashboard"},
		{"Pusher is away", func(p *installation) { p.pusher.Stop() }, "pusher", failure, "does not answer", "PUSHER_HOST"},
		{"our clock is far from Pusher's", func(p *installation) { p.PusherHost = pusherAt(p, time.Now().Add(-20*time.Minute), 401) }, "pusher", failure, "our clock is off by 20 min", "clock"},
		{"our clock is not Pusher's", func(p *installation) { p.PusherHost = pusherAt(p, time.Now().Add(150*time.Second), 200) }, "clocks", failure, "Pusher is 2 min", "clock"},
		{"the function's clock stood still", func(p *installation) { p.function.date = time.Now().Add(-11 * time.Second) }, "clocks", warning, "the function is 1", "restart"},

		{"no key set", func(p *installation) { p.keys.Fail(500) }, "tokens", failure, "cannot be had", "SUPABASE_URL"},
		{"an empty key set, and no secret", func(p *installation) { _ = p.keys.Rotate() }, "tokens", failure, "empty", "SUPABASE_JWT_SECRET"},
		{"tokens of any project", func(p *installation) { p.SupabaseURL, p.JWTSecret = "", strings.Repeat("x", 40) }, "tokens", warning, "which project", "SUPABASE_URL"},
		{"the encryption key is missing", func(p *installation) { p.RoomChannels = []string{"encrypted"} }, "encryption", failure, "is missing", "openssl rand"},
		{"the encryption key is short", func(p *installation) { p.PusherEncryptionKey = "c2hvcnQ=" }, "encryption", failure, "not the base64 of 32 bytes", "openssl rand"},
		{"no origin", func(p *installation) { p.AllowedOrigins = nil }, "origins", warning, "no origin is allowed", "ALLOWED_ORIGINS"},
		{"an origin with a path", func(p *installation) { p.AllowedOrigins = []string{"https://chat.example/app"} }, "origins", failure, "is no origin", "scheme and host"},
		{"an origin the function does not know", func(p *installation) { p.AllowedOrigins = []string{"https://new.example"} }, "origins", failure, "does not let pages of https://new.example in", "ALLOWED_ORIGINS"},

		{"an awake lease was left behind", func(p *installation) {
			p.function.awake, p.leaseWait = func() {}, time.Second // a relay would correct it
			p.exec(`select roomcast.set_clock('roomcast.awake_until', now() + interval '1 day')`)
		}, "awake lease", warning, "ends only in", "leave_awake()"},
		{"a row waits for long", sql(`insert into messages (room_id, content) values ('` + roomA + `', 'x'); update roomcast.outbox set at = now() - interval '10 minutes'`),
			"waiting", failure, "the oldest for 10 min", "the relay "},
		{"a row waits a little too long", sql(`insert into messages (room_id, content) values ('` + roomA + `', 'x'); update roomcast.outbox set at = now() - interval '1 minute'`),
			"waiting", warning, "the oldest for 1 min", "the relay "},
		{"an event is parked", sql(`insert into roomcast.parked values ('` + roomA + `', 7, 1, 'pusher answered 413')`), "parked", warning, "seq 7: pusher answered 413", "ops redrive -parked"},
		{"a user is not disconnected", sql(`insert into roomcast.revocations values ('11111111-0000-4000-8000-000000000001', now() - interval '2 minutes', now(), 7)`),
			"revocations", failure, "1 user who lost a membership may still listen, after 7 tries", "pusher"},
		{"a row has no room", sql(`insert into messages (content) values ('x')`), "unroutable", warning, "1 of messages as message (", "correct the room column"},
		{"a transaction stays open", holdOpen, "transactions", warning, "holds its rows back", "pg_terminate_backend"},
		{"nothing is cleared away", func(p *installation) {
			p.exec(`insert into messages (room_id, content) values ('` + roomA + `', 'x')`)
			p.exec(`select roomcast.assign_seqs()`) // in a transaction of its own, to see the row
			p.exec(`update roomcast.rooms set sent_seq = head_seq; update roomcast.seq_ranges set at = now() - interval '3 days'`)
		}, "retention", warning, "sent rows are kept", "roomcast.clean"},
	}
}
