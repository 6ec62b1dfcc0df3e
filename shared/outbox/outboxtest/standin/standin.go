// Package standin installs SQL into a database in place of an extension or a platform that
// is not there.
package standin

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Present asks the database, by a query for one boolean, whether it has the real thing.
func Present(ctx context.Context, databaseURL, what, query string) (present bool, err error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := conn.QueryRow(ctx, query).Scan(&present); err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	return present, nil
}

// Install runs the statements that make the stand-in.
func Install(ctx context.Context, databaseURL, what, schema string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, schema); err != nil {
		return fmt.Errorf("%s schema: %w", what, err)
	}
	return nil
}
