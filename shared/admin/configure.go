package admin

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Configure tells the database with what secret to send wake-ups, and, unless url is empty,
// where to. The secret goes by COPY: its data is the one thing that a server with
// log_statement = 'all' does not log.
func Configure(ctx context.Context, conn *pgx.Conn, url, secret string) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `create temporary table roomcast_secret (secret text) on commit drop`); err != nil {
			return err
		}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"roomcast_secret"}, []string{"secret"}, pgx.CopyFromRows([][]any{{secret}})); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `select roomcast.configure(url => nullif($1, ''), secret => (select s.secret from roomcast_secret s))`, url)
		return err
	})
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	return nil
}
