// Command setup takes a Supabase project to the point where only the deploy is left:
//
//	go run ./infra/setup
//
// It asks for what it cannot find in the environment or in the secrets file, and then
// installs the schema, attaches the chat's tables, tells the database where to send its wake-ups,
// gives the relay's role a password, writes the secrets file that infra/deploy reads,
// and ends with the doctor of infra/ops. Nothing is touched before all is known, a
// second run changes only what is answered differently, and no secret is printed.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"roomcast/infra/secretsfile"
)

const usage = `go run ./infra/setup [-secrets FILE] [-ca FILE] [-yes]

Asks for what is missing, shows what it would attach as SQL, sets up the database, writes FILE, examines the result.
Any of these may be set in the environment, and is then not asked for:

  OWNER_DATABASE_URL   the database as the owner of the chat's tables (not kept)
  ROOMCAST_URL         where the function will answer, as https://<app>.fly.dev
  SUPABASE_URL         or SUPABASE_JWT_SECRET, for a legacy project
  PUSHER_APP_ID, PUSHER_KEY, PUSHER_SECRET, PUSHER_CLUSTER (or PUSHER_HOST)
  WEBHOOK_SECRET, PARITY_SECRET   by default new ones
  CLIENT_MODE          by default supabase: pages stay with Supabase until you say both
  DATABASE_URL         the function's own login; by default roomcast_relay, new password
  ALLOWED_ORIGINS      origins of the chat's pages
  MESSAGES_TABLE, MESSAGES_ROOM_COLUMN ("none": one room for everybody), MESSAGES_COLUMNS
  MEMBERS_TABLE ("none": roomcast.can_read is yours), MEMBERS_ROOM_COLUMN, MEMBERS_USER_COLUMN,
  MEMBERS_ACTIVE (which rows count, such as: left_at is null)

Of other tables those are attached that Supabase Realtime listens to today (publication
supabase_realtime); lines for the rest are shown.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	s := &setup{environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, doctor: runDoctor}
	err := s.run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}

// setup is one run: what it is given, and how it ends.
type setup struct {
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
	doctor         func(ctx context.Context, environ []string, stdout, stderr io.Writer) error
}

func (s *setup) run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("setup", flag.ContinueOnError)
	flags.SetOutput(s.stderr)
	flags.Usage = func() { fmt.Fprint(s.stderr, usage); flags.PrintDefaults() }
	path := flags.String("secrets", ".secrets", "the `file` of secrets, read and written")
	ca := flags.String("ca", "", "the database's certificate authority as a PEM `file`, kept as DATABASE_CA (Supabase: prod-ca-2021.crt)")
	yes := flags.Bool("yes", false, "ask nothing: take what would be offered")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("there is no argument %q", flags.Arg(0))
	}
	kept, err := secretsfile.Read(*path)
	if err != nil {
		return err
	}
	ask := &asker{in: bufio.NewReader(s.stdin), out: s.stdout, known: known(kept, s.environ), yes: *yes, echo: echoOf(s.stdin)}
	if *ca != "" {
		pem, err := os.ReadFile(*ca)
		if err != nil {
			return fmt.Errorf("-ca: %w", err)
		}
		ask.known["DATABASE_CA"] = string(pem)
	}
	want, db, err := learn(ctx, ask)
	if db != nil {
		defer db.close()
	}
	if err != nil {
		return err
	}
	// Written first: a password that the database has and nobody knows is worse than
	// one that is known and not set yet.
	if err := kept.Write(*path, want.secrets); err != nil {
		return err
	}
	fmt.Fprintf(s.stdout, "wrote     %s\n", *path)
	if err := db.apply(ctx, want, s.stdout); err != nil {
		return err
	}
	if unverified(want) {
		fmt.Fprintln(s.stdout, "note      nobody checks who answers for the database: run setup again with -ca prod-ca-2021.crt (Supabase: Database settings, SSL)")
	}
	fmt.Fprintln(s.stdout, "\nThe doctor checks it. Until `task deploy` has run, nothing answers at the function's address.")
	return s.doctor(ctx, s.doctorsEnviron(want), s.stdout, s.stderr)
}

// doctorsEnviron is what the doctor reads: the environment, with what was learned.
func (s *setup) doctorsEnviron(want wanted) []string {
	environ := append([]string{}, s.environ...) // of two settings of one name the last counts
	for name, value := range want.secrets {
		environ = append(environ, name+"="+value)
	}
	return append(environ, "OWNER_DATABASE_URL="+want.ownerURL, "ROOMCAST_URL="+want.functionURL)
}

// known is what need not be asked: the environment, and behind it the secrets file.
func known(kept secretsfile.File, environ []string) map[string]string {
	values := kept.Values()
	for _, pair := range environ {
		if name, value, _ := strings.Cut(pair, "="); value != "" {
			values[name] = value
		}
	}
	return values
}

// first is the secret of the wake-up, while two are accepted.
func first(secrets string) string {
	one, _, _ := strings.Cut(secrets, ",")
	return cmp.Or(strings.TrimSpace(one), secrets)
}
