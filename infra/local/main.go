// Command local runs the whole of Roomcast on this machine: Postgres with a
// Supabase-shaped chat, what stands in for pg_net, cron, Realtime and Pusher, the
// function itself behind a proxy that starts it on request, and a page with two members
// that shows the move from Supabase Realtime to Roomcast.
//
//	go run ./infra/local
//
// It prints KEY=value lines and then "ready"; Ctrl-C ends all of it.
//
//	go run ./infra/local -postgres URL
//
// runs the function on a database of one's own with whatever is attached in it, changes
// nothing there, and serves a page that shows its rooms and their live events.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"roomcast/infra/child"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx = child.UntilOrphaned(ctx)
	err := run(ctx, os.Args[1:], caller{os.LookupEnv, child.BuildFunction}, os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "local:", err)
		stop()
		os.Exit(1)
	}
}

// run starts the stack, reports it on stdout and serves until ctx ends, then
// returns nil, or until a component dies by itself, then returns an error that names it.
func run(ctx context.Context, args []string, from caller, stdout, stderr io.Writer) (err error) {
	opts, err := parse(args, stderr)
	if err != nil {
		return err
	}
	opts.caller = from
	s := newStack(stderr)
	defer func() { err = errors.Join(err, s.stop()) }()
	env, err := s.assemble(ctx, opts)
	if err != nil {
		if ctx.Err() != nil {
			return nil // interrupted while starting: what was asked for
		}
		return err
	}
	if err := env.print(stdout); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.died:
		return err
	}
}

type options struct {
	port     int    // of the function; 0 means 8080 if it is free
	postgres string // URL of a database to use; empty starts one
	demo     bool   // the demo's chat is made in it
	pooler   bool   // the function goes through PgBouncer
	pusher   *app   // nil starts the emulator
	caller
}

// caller is who starts a stack: the environment from which the function is told how to
// work, and what builds it.
type caller struct {
	lookup func(name string) (value string, found bool)
	build  func(ctx context.Context, binary string) error
}

// app is a Pusher app on a server that speaks Pusher's protocol.
type app struct {
	host            string // host:port
	tls             bool
	id, key, secret string
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.port, "port", 0, "the function's `port` (default 8080, or another if that is taken)")
	flags.StringVar(&o.postgres, "postgres", "", "use the database at this `URL` with whatever is attached in it, and change nothing there")
	flags.BoolVar(&o.demo, "demo", false, "make the demo's chat in the database of -postgres, which must hold no tables of another's")
	flags.BoolVar(&o.pooler, "pooler", false, "the function reaches our own database through PgBouncer in transaction mode, as through Supavisor")
	pusher := flags.String("pusher", "", "use the server at `http://key:secret@host:port/apps/id` instead of the emulator")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *pusher != "" { // not by flags.Func, whose error repeats the value with its secret
		a, err := parseApp(*pusher)
		if err != nil {
			return o, fmt.Errorf("-pusher: %w", err)
		}
		o.pusher = a
	}
	if o.pooler && o.postgres != "" {
		return o, errors.New("-pooler: is for the database that the stack starts; with -postgres give a pooler's own URL")
	}
	o.demo = o.demo || o.postgres == ""
	return o, nil
}

var errAppURL = errors.New("must look like http://key:secret@host:port/apps/id")

// parseApp reads the URL form in which Pusher's own libraries take an app. Its
// errors do not repeat the URL, which holds a secret.
func parseApp(s string) (*app, error) {
	u, err := url.Parse(s)
	if err != nil || u.User == nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errAppURL
	}
	secret, _ := u.User.Password()
	id, found := strings.CutPrefix(u.Path, "/apps/")
	a := &app{host: u.Host, tls: u.Scheme == "https", id: id, key: u.User.Username(), secret: secret}
	if !found || a.id == "" || strings.Contains(a.id, "/") || a.key == "" || a.secret == "" {
		return nil, errAppURL
	}
	if u.Port() == "" {
		a.host += map[bool]string{true: ":443", false: ":80"}[a.tls]
	}
	return a, nil
}
