// Command supabase writes the schema into a project of the Supabase CLI, as a
// migration that `supabase db push` applies:
//
//	go run ./infra/supabase ../my-chat
//
// No copy of the schema is kept here: it is written on demand from shared/outbox/sql,
// so it cannot be out of date. Writing it again adds a migration only if the schema
// has changed since; applied migrations are never rewritten.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"roomcast/shared/admin"
)

const usage = `go run ./infra/supabase DIR

Writes DIR/supabase/migrations/<timestamp>_roomcast.sql, where DIR is the directory
in which "supabase init" was run. With -stdout it prints the SQL instead, for the SQL
editor.
`

// suffix follows the CLI's pattern <14 digits>_<name>.sql.
const suffix = "_roomcast.sql"

// then is what the schema alone does not do. Secrets do not belong into a migration.
const then = `-- What is left to do, as the owner of the tables; "task setup" does all of it:
--
--   select roomcast.attach_messages('public.messages', room_column => 'room_id', columns => '{id,room_id,user_id,content,created_at}');
--   select roomcast.attach_members('public.room_participants', room_column => 'room_id', user_column => 'user_id');
--   select roomcast.configure(url => 'https://<app>.fly.dev/webhooks/supabase');
--   select roomcast.wakeup_secret();   -- was made just now: the function's WEBHOOK_SECRET
`

func main() {
	if err := run(os.Args[1:], time.Now(), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "supabase:", err)
		os.Exit(1)
	}
}

func run(args []string, now time.Time, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("supabase", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage) }
	toStdout := flags.Bool("stdout", false, "print the SQL")
	if err := flags.Parse(args); err != nil {
		return err
	}
	sql, err := migration()
	if err != nil {
		return err
	}
	if *toStdout {
		_, err := io.WriteString(stdout, sql)
		return err
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return fmt.Errorf("name one directory")
	}
	path, written, err := write(flags.Arg(0), sql, now)
	if err != nil {
		return err
	}
	if !written {
		fmt.Fprintf(stdout, "%s is up to date\n", path)
		return nil
	}
	fmt.Fprintf(stdout, "wrote %s\nnext: supabase db push\n", path)
	return nil
}

// migration is the file's text.
func migration() (string, error) {
	sql, err := admin.Script()
	if err != nil {
		return "", err
	}
	return "-- Roomcast. Written by its infra/supabase: do not edit.\n-- Harmless to apply again, and over an older version.\n\n" + sql + "\n" + then, nil
}

// write adds a migration to a project, unless its newest one of ours is the same. It
// returns the path of whichever now holds sql.
func write(dir, sql string, now time.Time) (path string, written bool, err error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", false, fmt.Errorf("%s is no directory", dir)
	}
	folder := filepath.Join(dir, "supabase", "migrations")
	stamp := now.UTC().Format("20060102150405") + suffix
	old, err := filepath.Glob(filepath.Join(folder, "*"+suffix))
	if err != nil {
		return "", false, err
	}
	if len(old) > 0 {
		newest := old[len(old)-1] // Glob sorts, and stamps sort by time
		text, err := os.ReadFile(newest)
		if err != nil {
			return "", false, err
		}
		if string(text) == sql {
			return newest, false, nil
		}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", false, err
	}
	path = filepath.Join(folder, stamp)
	// O_EXCL: a file that is there may have been applied already.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", false, err
	}
	_, err = io.WriteString(file, sql)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return path, err == nil, err
}
