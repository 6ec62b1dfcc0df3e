package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomcast/shared/admin"
	"roomcast/shared/outbox"
)

// database is the owner's connection, and what was found there. The methods that
// only read take nil for a database that is not known yet.
type database struct {
	conn          *pgx.Conn
	all           []table
	attachments   []string // tables that are attached, each with its name
	url           string   // where wake-ups go
	relayCanLogin bool
}

func open(ctx context.Context, databaseURL, ca string) (*database, error) {
	conn, err := connect(ctx, databaseURL, ca)
	if err != nil {
		return nil, fmt.Errorf("OWNER_DATABASE_URL: %w", err)
	}
	db := &database{conn: conn}
	if err := db.survey(ctx); err != nil {
		db.close()
		return nil, fmt.Errorf("survey: %w", err)
	}
	return db, nil
}

// connect opens a connection that works behind every pooler. Its errors name host
// and user, never the password.
func connect(ctx context.Context, databaseURL, ca string) (*pgx.Conn, error) {
	parsed, err := outbox.ParseURL(databaseURL, ca)
	if err != nil {
		return nil, err
	}
	config := parsed.ConnConfig
	config.ConnectTimeout = 10 * time.Second
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.RuntimeParams["application_name"] = "roomcast-setup"
	return pgx.ConnectConfig(ctx, config)
}

func (db *database) close() { _ = db.conn.Close(context.Background()) }

// functionURL is the address that the database already calls.
func (db *database) functionURL() string {
	if db == nil {
		return ""
	}
	return strings.TrimSuffix(db.url, webhookPath)
}

// apply does it all. Each step can be done again.
func (db *database) apply(ctx context.Context, want wanted, out io.Writer) error {
	say := func(did, what string) { fmt.Fprintf(out, "%-9s %s\n", did, what) }
	if err := (admin.Migration{URL: want.ownerURL, CA: want.secrets["DATABASE_CA"], Waiting: func(file, holders string) { say("waiting", file+" for "+holders) }}).Run(ctx); err != nil {
		return err
	}
	say("installed", "the schema roomcast")
	// Nothing of the plan queues the chat behind a lock that it waits for.
	if _, err := db.conn.Exec(ctx, `set lock_timeout = '3s'`); err != nil {
		return err
	}
	for _, s := range want.plan {
		if s.comment {
			continue
		}
		if _, err := db.conn.Exec(ctx, s.sql); err != nil {
			return fmt.Errorf("%s: %w", s.did, err)
		}
		say("attached", s.did)
	}
	if err := admin.Configure(ctx, db.conn, want.functionURL+webhookPath, first(want.secrets["WEBHOOK_SECRET"])); err != nil {
		return err
	}
	say("calls", want.functionURL+webhookPath)
	return db.letIn(ctx, want, say)
}

// tryCondition asks whether a condition over a table's rows is SQL, without reading any.
func (db *database) tryCondition(ctx context.Context, t table, condition string) error {
	if db == nil {
		return nil
	}
	return pgx.BeginTxFunc(ctx, db.conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, fmt.Sprintf("select true from %s r where (%s\n) limit 0", t.Name, condition))
		if err == nil {
			rows.Close()
			err = rows.Err()
		}
		var answer *pgconn.PgError
		if errors.As(err, &answer) {
			return errors.New(answer.Message)
		}
		return err
	})
}
