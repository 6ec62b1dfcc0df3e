package outboxtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest/pgnet"
)

// chatTables are the tables of a usual Supabase chat, without its policies.
const chatTables = `
create table public.chat_rooms (
  id uuid primary key default gen_random_uuid(),
  name text not null);
create table public.messages (
  id uuid primary key default gen_random_uuid(),
  room_id uuid,
  user_id uuid,
  content text,
  created_at timestamptz not null default now());
create table public.room_participants (
  id uuid primary key default gen_random_uuid(),
  room_id uuid not null,
  user_id uuid not null,
  joined_at timestamptz not null default now(),
  unique (room_id, user_id));
`

// WebhookSecret is what Chat's database sends as its webhook secret.
const WebhookSecret = "webhook-secret-of-tests-32-chars"

// Chat returns the URL of a database with a chat in it, Roomcast installed and its
// tables attached, and the stand-in for pg_net present but not sending.
func Chat(tb testing.TB) string {
	tb.Helper()
	return DatabaseFrom(tb, "chat", InstallChat)
}

// InstallChat makes an empty database what [Chat] returns.
func InstallChat(ctx context.Context, url string) error {
	if err := pgnet.Install(ctx, url); err != nil {
		return err
	}
	if err := Exec(ctx, url, chatTables); err != nil {
		return err
	}
	if err := admin.Migrate(ctx, url); err != nil {
		return err
	}
	return Exec(ctx, url, `
		select roomcast.attach_messages('public.messages', room_column => 'room_id', columns => '{id,room_id,user_id,content,created_at}');
		select roomcast.attach_members('public.room_participants', room_column => 'room_id', user_column => 'user_id');`)
}

// Exec runs statements on a connection of their own.
func Exec(ctx context.Context, url, sql string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}
