package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/servers"
)

// These faults put another database in the place of the chat's, at the same address,
// as restores, fail-overs and upgrades do. What was committed after the copy was made is
// gone from the chat, sent or not; what the copy holds may be sent once more, in a new
// epoch, and everything after it must arrive as always.

// archive keeps finished WAL segments beside the data, for the restore in place.
func archive() map[string]string {
	return map[string]string{"archive_mode": "on", "archive_command": "mkdir -p ../archive && cp %p ../archive/%f"}
}

const restoreLimit = 2 * time.Minute

// restore has the chat go on before, during and after a copy is put in the database's
// place: copies makes it, and place puts it there while Postgres is down.
func (s *scene) restore(ctx context.Context, copies, place func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, restoreLimit)
	defer cancel()
	if err := s.write(ctx, 500); err != nil {
		return err
	}
	if err := copies(ctx); err != nil {
		return err
	}
	if err := s.arrive(ctx, s.ledger.accepted()+300); err != nil { // the tail
		return err
	}
	s.chat.stop()
	if err := place(ctx); err != nil {
		return err
	}
	s.lift()
	kept, err := s.keeps(ctx)
	if err != nil {
		return err
	}
	taken := s.ledger.restored(kept)
	s.note("%d committed messages were taken back, %d were kept", taken, len(kept))
	s.chat.start(ctx, writers, s.rnd)
	return s.until(ctx, "what is written after the restore", func() bool { return s.ledger.since() >= 500 })
}

// keeps are the messages that the database in the other's place has.
func (s *scene) keeps(ctx context.Context) (map[string]bool, error) {
	rows, err := s.admin.Query(ctx, `select id::text from messages`)
	if err != nil {
		return nil, fmt.Errorf("kept: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	kept := map[string]bool{}
	for _, id := range ids {
		kept[id] = true
	}
	return kept, err
}

// replace halts Postgres, puts another data directory in place and starts it.
func (s *scene) replace(ctx context.Context, dir, bin string, prepare func(context.Context) error) error {
	if err := s.postgres.Halt(); err != nil {
		return err
	}
	if prepare != nil {
		if err := prepare(ctx); err != nil {
			return err
		}
	}
	if err := s.postgres.Replace(dir, bin); err != nil {
		return err
	}
	if err := s.postgres.Restart(ctx); err != nil {
		return err
	}
	s.admin.Reset() // its connections were the other database's
	return nil
}

func (s *scene) tool(ctx context.Context, name string, args ...string) error {
	_, err := s.postgres.Tool(ctx, "", name, args...)
	return err
}

// backup copies the running server with all the WAL that the copy needs.
func (s *scene) backup(ctx context.Context) error {
	return s.tool(ctx, "pg_basebackup", "--pgdata=copy", "--checkpoint=fast", "--wal-method=stream")
}

// restoreInPlace is point-in-time recovery: a base backup and the archive, up to a named
// moment, on another timeline of the same system.
func restoreInPlace(ctx context.Context, s *scene) error {
	return s.restore(ctx, func(ctx context.Context) error {
		if err := s.backup(ctx); err != nil {
			return err
		}
		if err := s.arrive(ctx, s.ledger.accepted()+300); err != nil {
			return err
		}
		_, err := ask[string](ctx, s.stack, `select pg_create_restore_point('good')::text`)
		return err
	}, func(ctx context.Context) error {
		last, err := ask[string](ctx, s.stack, `select pg_walfile_name(pg_switch_wal())`)
		if err != nil {
			return err
		}
		err = s.until(ctx, "the archive", func() bool {
			archived, err := ask[bool](ctx, s.stack, `select coalesce(last_archived_wal >= $1, false) from pg_stat_archiver`, last)
			return err == nil && archived
		})
		if err != nil {
			return err
		}
		return s.replace(ctx, "copy", "", func(context.Context) error {
			return s.recover("restore_command = 'cp ../archive/%f %p'\nrecovery_target_name = 'good'\nrecovery_target_action = 'promote'\n")
		})
	})
}

// promote lets a standby take over that has not got the primary's last moments.
func promote(ctx context.Context, s *scene) error {
	return s.restore(ctx, s.backup, func(ctx context.Context) error {
		if err := s.postgres.Crash(); err != nil {
			return err
		}
		// It replays what it has, finds no more, and begins a timeline of its own.
		return s.replace(ctx, "copy", "", func(context.Context) error { return s.recover("restore_command = 'false'\n") })
	})
}

// recover has the copy replay WAL before it begins another timeline.
func (s *scene) recover(settings string) error {
	if err := s.postgres.Configure("copy", "postgresql.auto.conf", settings); err != nil {
		return err
	}
	return s.postgres.Configure("copy", "recovery.signal", "")
}

// upgrade is pg_upgrade: another system identifier, and all that was committed. Where the
// programs at hand are of one version, pg_upgrade takes that for both.
func upgrade(ctx context.Context, s *scene) error {
	nothing := func(context.Context) error { return nil }
	return s.restore(ctx, nothing, func(ctx context.Context) error {
		from, to := s.postgres.Bin(), cmp.Or(s.upgradeTo, s.postgres.Bin())
		if err := s.postgres.Initialize(ctx, to, "copy"); err != nil {
			return err
		}
		err := s.replace(ctx, "copy", to, func(ctx context.Context) error {
			_, err := s.postgres.Tool(ctx, to, "pg_upgrade", "--old-bindir="+from, "--new-bindir="+to, "--old-datadir=data", "--new-datadir=copy", "--username=postgres")
			return err
		})
		if err != nil {
			return err
		}
		version, err := ask[string](ctx, s.stack, `select current_setting('server_version')`)
		s.note("now Postgres %s", version)
		return err
	})
}

// dumpAndRestore moves the chat by pg_dump into a new cluster, of another major version
// where its programs are at hand. That cluster has spent no transaction ids yet.
func dumpAndRestore(ctx context.Context, s *scene) error {
	var roles, dump []byte
	return s.restore(ctx, func(ctx context.Context) (err error) {
		if roles, err = s.postgres.Tool(ctx, "", "pg_dumpall", "--roles-only"); err != nil {
			return err
		}
		dump, err = s.postgres.Tool(ctx, "", "pg_dump", "--dbname=chat", "--create")
		return err
	}, func(ctx context.Context) error {
		for _, r := range s.relays { // nobody works on half a database
			if err := r.kill(); err != nil {
				return err
			}
		}
		before, err := ask[int64](ctx, s.stack, `select pg_current_xact_id()::text::bigint`)
		if err != nil {
			return err
		}
		bin, err := servers.Find(servers.Default)
		if err != nil {
			bin = ""
			s.note("into the same version: %v", err)
		}
		if err := s.postgres.Initialize(ctx, bin, "copy"); err != nil {
			return err
		}
		if err := s.replace(ctx, "copy", bin, nil); err != nil {
			return err
		}
		if err := s.load(ctx, roles, dump); err != nil {
			return err
		}
		after, err := ask[string](ctx, s.stack, `select current_setting('server_version') || ' ' || pg_current_xact_id()::text`)
		if err != nil {
			return err
		}
		s.note("transaction %s before, %s after", strconv.FormatInt(before, 10), after)
		// A copy keeps silent until it is said that it is now the chat's database.
		if err := outboxtest.Exec(ctx, s.ownerURL, `select roomcast.configure()`); err != nil {
			return fmt.Errorf("configure: %w", err)
		}
		for _, r := range s.relays {
			if err := r.start(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// load runs the dumps with psql, which stops at the first error. The new cluster has its
// superuser already, with the same password.
func (s *scene) load(ctx context.Context, roles, dump []byte) error {
	var script bytes.Buffer
	for line := range bytes.Lines(roles) {
		if !bytes.Contains(line, []byte(" ROLE postgres")) {
			script.Write(line)
		}
	}
	script.Write(dump)
	if err := s.postgres.Configure("", "dump.sql", script.String()); err != nil {
		return err
	}
	return s.tool(ctx, "psql", "--dbname=postgres", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=dump.sql")
}
