// Package admin is the operator's side of the schema that package outbox owns: install it,
// compare it with this version, show its state, and do what the relay does not do itself
// (skip, redrive, probe).
package admin

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Migrate brings the schema to what this program expects: the numbered files not
// yet applied, in order, then the files of functions. Each is a transaction of its
// own and takes turns with others who migrate. Doing it again is harmless. The user
// of the URL must own the chat's tables.
func Migrate(ctx context.Context, databaseURL string) error {
	return Migration{URL: databaseURL}.Run(ctx)
}

// migrations lists the numbered files, in order. They are named here and not read from the
// folder: the function compares a database's version with them, and would carry all of the
// schema's SQL.
func migrations() []string {
	return []string{"001_schema.sql", "001_schema_access.sql"}
}

// reapplied lists the files that show today's functions, in the order in which they
// are applied after the numbered ones.
func reapplied() []string {
	return []string{
		"wakeup.sql", "types.sql", "attach.sql", "children.sql", "capture_text.sql", "capture_nested.sql", "capture_one.sql", "capture_write.sql", "capture.sql",
		"capture_members.sql", "capture_slow.sql", "upkeep.sql", "rooms.sql", "numbering.sql", "restore.sql", "claim_one.sql", "claim.sql", "history.sql", "retention.sql", "access.sql", "members.sql",
		"attach_as.sql", "send.sql", "recheck.sql", "revocation.sql", "presence.sql", "inbox.sql",
		"operator.sql", "snapshots.sql", "selfcheck.sql", "parity.sql", "delivery.sql", "audit.sql", "uninstall.sql", "rights.sql",
	}
}

func versionOf(name string) int {
	digits, _, _ := strings.Cut(name, "_")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

func applied(ctx context.Context, conn *pgx.Conn) (map[int]bool, error) {
	var versions []int
	rows, err := conn.Query(ctx, `select version from roomcast.migrations`)
	if err == nil {
		versions, err = pgx.CollectRows(rows, pgx.RowTo[int])
	}
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000") {
		return nil, nil // no such table or schema: nothing is applied yet
	}
	if err != nil {
		return nil, err
	}
	done := make(map[int]bool, len(versions))
	for _, v := range versions {
		done[v] = true
	}
	return done, nil
}
