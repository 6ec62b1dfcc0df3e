package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/infra/secretsfile"
	"roomcast/shared/admin"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

// chat is a project's database: its owner is no superuser, as on Supabase, and a
// table that only looks like messages is in the way.
const chat = `
	do $$ begin
	  if to_regrole('setup_owner') is null then create role setup_owner login createrole password 'owner'; end if;
	  execute format('grant create on database %I to setup_owner', current_database());
	end $$;
	set role setup_owner;
	create schema chat;
	create table chat.messages (id uuid primary key default gen_random_uuid(), room_id uuid not null, user_id uuid, content text, secret_note text);
	create table chat.notes (id uuid primary key, group_id uuid, body text);
	create table chat.room_participants (room_id uuid not null, user_id uuid not null, unique (room_id, user_id));
	create table chat.profiles (id uuid primary key, name text);`

// world is a project that nobody has set up yet, and one who sits before it.
type world struct {
	*testing.T
	super, owner string
	path         string // of the secrets file
	environ      []string
	out          bytes.Buffer
	doctored     []string // the environment that the doctor got
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, super: outboxtest.Database(t), path: filepath.Join(t.TempDir(), ".secrets")}
	// Roles are the cluster's: an earlier test's relay could log in already.
	w.exec(`do $$ begin if to_regrole('setup_owner') is not null and to_regrole('roomcast_relay') is not null then
		alter role roomcast_relay nologin password null; end if; end $$`)
	w.exec(chat)
	w.owner = w.as("setup_owner", "owner")
	w.environ = []string{"OWNER_DATABASE_URL=" + w.owner, "ROOMCAST_URL=http://127.0.0.1:1", "SUPABASE_URL=http://127.0.0.1:2",
		"PUSHER_APP_ID=7", "PUSHER_KEY=key", "PUSHER_SECRET=pusher-secret", "PUSHER_CLUSTER=eu", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	return w
}

func (w *world) exec(sql string) {
	w.Helper()
	if err := outboxtest.Exec(w.Context(), w.super, sql); err != nil {
		w.Fatal(err)
	}
}

func (w *world) as(user, password string) string {
	w.Helper()
	u, err := url.Parse(w.super)
	if err != nil {
		w.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

// run sets up, with these answers typed.
func (w *world) run(answers string, args ...string) error {
	w.Helper()
	s := &setup{environ: w.environ, stdin: strings.NewReader(answers), stdout: &w.out, stderr: &w.out,
		doctor: func(_ context.Context, environ []string, _, _ io.Writer) error { w.doctored = environ; return nil }}
	return s.run(w.Context(), append([]string{"-secrets", w.path}, args...))
}

func (w *world) secrets() map[string]string {
	w.Helper()
	file, err := secretsfile.Read(w.path)
	if err != nil {
		w.Fatal(err)
	}
	return file.Values()
}

func one[T any](w *world, sql string, args ...any) (v T) {
	w.Helper()
	conn, err := pgx.Connect(w.Context(), w.super)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = conn.Close(w.Context()) }()
	if err := conn.QueryRow(w.Context(), sql, args...).Scan(&v); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	return v
}

// check compares what a set-up project has, and what must not be on the screen.
func (w *world) check() {
	w.Helper()
	got := w.secrets()
	db, err := outbox.Open(got["DATABASE_URL"], 1)
	if err != nil {
		w.Fatal(err)
	}
	defer db.Close()
	if _, err := (admin.Operator{DB: db}).Backlog(w.Context()); err != nil {
		w.Errorf("the relay's login: %v", err)
	}
	if info, err := os.Stat(w.path); err != nil || info.Mode().Perm() != 0o600 {
		w.Errorf("the secrets file: %v, %v", info.Mode(), err)
	}
	if url := one[string](w, `select url from roomcast.settings`); url != "http://127.0.0.1:1/webhooks/supabase" {
		w.Errorf("the wake-up URL is %s", url)
	}
	if secret := one[string](w, `select secret from roomcast.settings`); secret != first(got["WEBHOOK_SECRET"]) || len(secret) < 32 {
		w.Error("the database sends another secret than the function expects")
	}
	u, _ := url.Parse(got["DATABASE_URL"])
	password, _ := u.User.Password()
	for _, hidden := range []string{password, got["WEBHOOK_SECRET"], "pusher-secret", ":owner@"} {
		if strings.Contains(w.out.String(), hidden) {
			w.Error("a secret was printed")
		}
	}
	if got["CLIENT_MODE"] != "supabase" || len(got["PARITY_SECRET"]) < 32 || got["PARITY_SECRET"] == got["WEBHOOK_SECRET"] {
		w.Error("the dual run's mode or the report's secret is missing")
	}
	if _, kept := got["OWNER_DATABASE_URL"]; kept {
		w.Error("the owner's URL would become a secret of the function")
	}
}

func TestUnattended(t *testing.T) {
	w := newWorld(t)
	if err := w.run("", "-yes"); err != nil {
		t.Fatal(err, w.out.String())
	}
	w.check()
	before := w.secrets()
	if !slices.Contains(w.doctored, "DATABASE_URL="+before["DATABASE_URL"]) || !slices.Contains(w.doctored, "ROOMCAST_URL=http://127.0.0.1:1") {
		t.Error("the doctor does not know what setup knows")
	}
	// Again: nothing is asked, nothing changes, though the terminal is gone.
	if err := w.run(""); err != nil {
		t.Fatal(err, w.out.String())
	}
	w.check()
	if after := w.secrets(); after["DATABASE_URL"] != before["DATABASE_URL"] || after["WEBHOOK_SECRET"] != before["WEBHOOK_SECRET"] {
		t.Error("a second run made new secrets")
	}
}

func TestAnswers(t *testing.T) {
	w := newWorld(t)
	w.environ = slices.DeleteFunc(w.environ, func(v string) bool { return strings.HasPrefix(v, "PUSHER_") || strings.HasPrefix(v, "ROOMCAST_") })
	// An empty answer takes what is offered; a bad one is asked again.
	err := w.run(strings.Join([]string{
		"no address", "http://127.0.0.1:1/webhooks/supabase", "7", "key", "pusher-secret", "eu",
		"short", "", "", "dance", "", "https://chat.example",
		"nonsense", "", "id,room_id,missing", "id,room_id,user_id,content",
		"", "", "",
	}, "\n") + "\n")
	if err != nil {
		t.Fatal(err, w.out.String())
	}
	w.check()
	if got := w.secrets()["ALLOWED_ORIGINS"]; got != "https://chat.example" {
		t.Errorf("ALLOWED_ORIGINS=%q", got)
	}
	sources := one[[]string](w, `select array_agg(relation::text || ' ' || name || ' ' || columns::text order by name desc) from roomcast.attached_tables where detached_at is null`)
	want := []string{"chat.messages message {id,room_id,user_id,content}", "chat.room_participants member {room_id,user_id}"}
	if !slices.Equal(sources, want) {
		t.Errorf("attached %q, want %q", sources, want)
	}
	for _, said := range []string{"must be an address", "at least 32 characters", "none of supabase, both, pusher", "not among the tables", `"missing"`, "found: chat.messages, chat.notes"} {
		if !strings.Contains(w.out.String(), said) {
			t.Errorf("never said %q:\n%s", said, w.out.String())
		}
	}
}

func TestWhatIsMissingIsSaidAtOnce(t *testing.T) {
	w := newWorld(t)
	w.environ = w.environ[:1]
	err := w.run("")
	if err == nil {
		t.Fatal("set up without being told anything")
	}
	for _, name := range []string{"ROOMCAST_URL", "SUPABASE_URL", "PUSHER_APP_ID", "PUSHER_SECRET", "PUSHER_CLUSTER", "MESSAGES_TABLE"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
	if one[bool](w, `select to_regnamespace('roomcast') is not null`) {
		t.Error("the database was touched")
	}
	if _, err := os.Stat(w.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the secrets file: %v", err)
	}
}

// Ctrl-C ends it at a question; nothing was changed.
func TestStopped(t *testing.T) {
	w := newWorld(t)
	w.environ = w.environ[:1]
	ctx, cancel := context.WithCancel(t.Context())
	stdin, typing := io.Pipe()
	defer func() { _ = typing.Close() }()
	// By the first question that is left to ask, the database is open.
	go func() { _, _ = io.WriteString(typing, "http://127.0.0.1:1\n"); cancel() }()
	s := &setup{environ: w.environ, stdin: stdin, stdout: &w.out, stderr: &w.out, doctor: runDoctor}
	if err := s.run(ctx, []string{"-secrets", w.path}); !errors.Is(err, errStopped) {
		t.Fatalf("%v\n%s", err, w.out.String())
	}
	if one[bool](w, `select to_regnamespace('roomcast') is not null`) {
		t.Error("the database was touched")
	}
	if _, err := os.Stat(w.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the secrets file: %v", err)
	}
}

// What is not agreed to is not done.
func TestDeclined(t *testing.T) {
	w := newWorld(t)
	w.environ = append(w.environ, "WEBHOOK_SECRET="+strings.Repeat("s", 40), "PARITY_SECRET="+strings.Repeat("p", 40), "CLIENT_MODE=supabase",
		"ALLOWED_ORIGINS=https://chat.example", "MESSAGES_TABLE=chat.messages", "MESSAGES_COLUMNS=id,room_id", "MEMBERS_TABLE=chat.room_participants", "DATABASE_URL="+fresh)
	if err := w.run("n\n"); !errors.Is(err, errDeclined) {
		t.Fatalf("%v\n%s", err, w.out.String())
	}
	if !strings.Contains(w.out.String(), "select roomcast.attach_messages('chat.messages', room_column => 'room_id',\n  columns => '{id,room_id}');") {
		t.Errorf("the plan was not shown:\n%s", w.out.String())
	}
	if one[bool](w, `select to_regnamespace('roomcast') is not null`) {
		t.Error("the database was touched")
	}
}

// A running function's password is not replaced behind its back.
func TestPasswordInUseIsKept(t *testing.T) {
	w := newWorld(t)
	if err := w.run("", "-yes"); err != nil {
		t.Fatal(err, w.out.String())
	}
	old := w.secrets()["DATABASE_URL"]
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	if err := w.run("", "-yes"); err == nil || !strings.Contains(err.Error(), "DATABASE_URL") {
		t.Errorf("without the old password: %v", err)
	}
	w.environ = append(w.environ, "DATABASE_URL="+fresh)
	if err := w.run("", "-yes"); err != nil {
		t.Fatal(err)
	}
	w.check()
	if w.secrets()["DATABASE_URL"] == old {
		t.Error("asked for a new password, and got the old one")
	}
}

// The real doctor finds all well but the function, which is not deployed yet.
func TestEndsWithTheDoctor(t *testing.T) {
	w := newWorld(t)
	s := &setup{environ: append(w.environ, "PUSHER_HOST=127.0.0.1:1"), stdin: strings.NewReader(""), stdout: &w.out, stderr: &w.out, doctor: runDoctor}
	if err := s.run(w.Context(), []string{"-secrets", w.path, "-yes"}); !errors.Is(err, errDoctor) {
		t.Fatalf("%v\n%s", err, w.out.String())
	}
	w.check()
	for _, line := range []string{"ok    settings", "ok    schema", "ok    relay's login", "ok    tables", "FAIL  function"} {
		if !strings.Contains(w.out.String(), line) {
			t.Errorf("no %q in:\n%s", line, w.out.String())
		}
	}
}
