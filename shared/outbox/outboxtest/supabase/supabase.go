// Package supabase gives a plain Postgres what a chat's tables and row level
// security expect of a Supabase project: the roles anon, authenticated and
// service_role, auth.users, auth.uid() and auth.jwt().
package supabase

import (
	"context"
	_ "embed"

	"roomcast/shared/outbox/outboxtest/standin"
)

//go:embed supabase.sql
var schema string

// Installed reports whether the database has auth.users and auth.uid() already,
// as a real Supabase project has.
func Installed(ctx context.Context, databaseURL string) (bool, error) {
	return standin.Present(ctx, databaseURL, "supabase", "select to_regclass('auth.users') is not null and to_regprocedure('auth.uid()') is not null")
}

// Install creates what is missing. The URL's role must be allowed to create
// roles and schemas; tables it makes in the schema public are then open to the
// three roles, but for row level security. Twice is harmless.
func Install(ctx context.Context, databaseURL string) error {
	return standin.Install(ctx, databaseURL, "supabase", schema)
}
