// Command ops shows an operator the state of a running Roomcast, the history of one event
// and what is wrong, and does the few things that a person may have to do.
//
//	go run ./infra/ops doctor
//
// It reads the function's own variables from the environment, and
// OWNER_DATABASE_URL, the database as the owner of the chat's tables sees it. No
// command prints a message's text, a token or a secret.
//
// Its exit statuses are exitOK, exitWarning and exitFailed. go run turns any status but 0
// into 1, so scripts build the program first:
//
//	go build -o bin/ops ./infra/ops && bin/ops doctor -json
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"roomcast/infra/secretsfile"
	"roomcast/shared/terminal"
)

// The exit statuses.
const (
	exitOK      = 0
	exitWarning = 1 // doctor: warnings only; others: what was asked for is not there
	exitFailed  = 2 // doctor: failures; others: it could not be done
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command is one thing ops can do.
type command struct {
	name, args, does string
	// setUp defines the command's flags and returns what runs it.
	setUp func(*flag.FlagSet) func(context.Context, *call) (code int, err error)
}

// call is one invocation: what it is told, and where it answers.
type call struct {
	settings
	args []string
	out  *printer
}

// commands is the index.
func commands() []command {
	return []command{
		{"doctor", "[-event] [CHECK …]", "check everything, or what is named, and say what to do", setUpDoctor},
		{"status", "", "how the relay stands; -watch redraws", setUpStatus},
		{"inspect", "ROOM", "one room: lease, numbers, what waits in it", setUpInspect},
		{"why", "ROOM SEQ | ID", "the life of one event, by its place or its row's primary key", setUpWhy},
		{"tail", "ROOM", "a room's events as a member receives them (USER_TOKEN)", setUpTail},
		{"redrive", "ROOM SEQ [LAST] | -parked [ROOM]", "send events again, under the same seq", setUpRedrive},
		{"skip", "ROOM SEQ -reason WHY", "park the event at which a room is stuck", setUpSkip},
		{"delivery", "[-hours N]", "how messages reach pages, by hour: pushed or fetched, and how late", setUpDelivery},
		{"parity", "[QUERY]", "the dual run's parity report; QUERY as in GET /parity?hours=24", setUpParity},
		{"secret", "", "have the database send the first of WEBHOOK_SECRET", setUpSecret},
		{"migrate", "", "bring the schema to what this version expects", setUpMigrate},
	}
}

// errUsage is a command line that cannot be read; it was explained already.
var errUsage = errors.New("usage")

// run is the program; it returns the exit status.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	code, err := dispatch(ctx, args, environ, stdout, stderr)
	switch {
	case err == nil:
		return code
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case !errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "ops:", terminal.Clean(err.Error()))
	}
	return exitFailed
}

func dispatch(ctx context.Context, args, environ []string, stdout, stderr io.Writer) (int, error) {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "-help" || args[0] == "--help" {
		usage(stderr)
		return exitFailed, map[bool]error{true: errUsage, false: flag.ErrHelp}[len(args) == 0]
	}
	for _, cmd := range commands() {
		if cmd.name == args[0] {
			return invoke(ctx, cmd, args[1:], environ, stdout, stderr)
		}
	}
	usage(stderr)
	return exitFailed, fmt.Errorf("there is no command %q", args[0])
}

func invoke(ctx context.Context, cmd command, args, environ []string, stdout, stderr io.Writer) (int, error) {
	flags := flag.NewFlagSet("ops "+cmd.name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "ops %s %s\n  %s\n", cmd.name, cmd.args, cmd.does)
		flags.PrintDefaults()
	}
	asJSON := flags.Bool("json", false, "answer as JSON, for machines")
	secrets := flags.String("secrets", "", "`file` of NAME=value lines that count before the environment, as setup writes it")
	do := cmd.setUp(flags)
	rest, err := parse(flags, args)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK, err
	}
	if err != nil {
		return exitFailed, errUsage // the flag package has said what is wrong
	}
	if *secrets != "" {
		file, err := secretsfile.Open(*secrets)
		if err != nil {
			return exitFailed, err
		}
		environ = file.Over(environ)
	}
	s, err := loadSettings(environ)
	if err != nil {
		return exitFailed, err
	}
	code, err := do(ctx, &call{settings: s, args: rest, out: newPrinter(stdout, *asJSON, environ)})
	if errors.Is(err, errUsage) {
		flags.Usage()
	}
	return code, err
}

// parse reads flags wherever they stand: people write them behind the room, too.
func parse(flags *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

func usage(w io.Writer) {
	fmt.Fprint(w, "ops COMMAND [-json] [-secrets FILE] …\n\n")
	for _, cmd := range commands() {
		fmt.Fprintf(w, "  %-8s %-34s %s\n", cmd.name, cmd.args, cmd.does)
	}
	fmt.Fprint(w, `
It reads the function's environment (-secrets FILE: the file that setup wrote), and OWNER_DATABASE_URL (or else DATABASE_URL)
for the database as the owner of the chat's tables sees it.
Exit status: 0 good, 1 warnings or nothing found, 2 failures (go run makes 1 of both).
`)
}
