package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// question asks for one setting, by the name it has in the environment.
type question struct {
	name, hint string
	offer      string // taken for an empty answer
	called     string // what the offer is called where it must not be seen
	secret     bool   // not shown while it is typed
	optional   bool
	check      func(string) error // its errors never repeat the value
}

// asker gets answers from what is known, else from a person.
type asker struct {
	in      *bufio.Reader
	out     io.Writer
	known   map[string]string
	yes     bool             // there is nobody: take what is offered
	ended   bool             // the person has gone
	missing []string         // what neither has answered
	echo    func(shown bool) // of the terminal
}

var errNone = errors.New("is needed")

// ask returns the answer. An answer that nobody gives is noted in missing, so that
// all of them can be told at once.
func (a *asker) ask(ctx context.Context, q question) (string, error) {
	if value := a.known[q.name]; value != "" {
		if err := q.verify(value); err != nil {
			return "", fmt.Errorf("%s %w", q.name, err)
		}
		return value, nil
	}
	for !a.yes && !a.ended {
		value := a.read(ctx, q)
		if a.ended && value == "" {
			break
		}
		if value == "" {
			value = q.offer
		}
		if err := q.verify(value); err != nil {
			fmt.Fprintf(a.out, "  it %v\n", err)
			continue
		}
		return value, nil
	}
	if a.yes && q.offer != "" || q.optional {
		return q.offer, nil
	}
	a.missing = append(a.missing, q.name)
	return "", nil
}

func (q question) verify(value string) error {
	switch {
	case strings.ContainsAny(value, "\r\n\x00"):
		return errors.New("must be one line")
	case value == "" && q.optional:
		return nil
	case value == "":
		return errNone
	case q.check != nil:
		return q.check(value)
	}
	return nil
}

// read asks once. It sets ended when there is nothing more to read.
func (a *asker) read(ctx context.Context, q question) string {
	prompt := q.name
	if q.hint != "" {
		prompt += " (" + q.hint + ")"
	}
	switch {
	case q.called != "":
		prompt += " [" + q.called + "]"
	case q.offer != "":
		prompt += " [" + q.offer + "]"
	case q.optional:
		prompt += " [none]"
	}
	fmt.Fprint(a.out, prompt+": ")
	if q.secret {
		a.echo(false)
		defer func() { a.echo(true); fmt.Fprintln(a.out) }()
	}
	line, ok := a.line(ctx)
	if !ok {
		a.ended = true
		fmt.Fprintln(a.out)
	}
	return strings.TrimSpace(line)
}

// line waits for a line, or for Ctrl-C: a read of a terminal cannot be called off, so
// it is left behind, and ends with the program.
func (a *asker) line(ctx context.Context) (text string, ok bool) {
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := a.in.ReadString('\n')
		got <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", false
	case answer := <-got:
		return answer.text, answer.err == nil
	}
}

// errDeclined: the plan was shown, and not agreed to.
var errDeclined = errors.New("not agreed to; nothing was changed. Set MESSAGES_TABLE, MEMBERS_TABLE and their columns, or attach by hand")

// agree shows the plan as the SQL that will be run, and asks for consent; -yes gives it
// beforehand.
func (a *asker) agree(ctx context.Context, lines []statement) error {
	if len(lines) == 0 {
		return nil
	}
	fmt.Fprintf(a.out, "\nThis would be run:\n\n%s\n", show(lines))
	if a.yes {
		return nil
	}
	fmt.Fprint(a.out, "Run it? [Y/n] ")
	line, ok := a.line(ctx)
	fmt.Fprintln(a.out)
	switch answer := strings.ToLower(strings.TrimSpace(line)); {
	case ctx.Err() != nil:
		return errStopped
	case answer == "y" || answer == "yes" || ok && answer == "":
		return nil
	}
	return errDeclined
}

// complete is an error that names everything that nobody answered.
func (a *asker) complete() error {
	if len(a.missing) == 0 {
		return nil
	}
	return fmt.Errorf("missing: %s; set them in the environment, or answer (-yes takes what is offered); nothing was changed",
		strings.Join(a.missing, ", "))
}

// echoOf switches a terminal's echo by stty, which every Unix has. What is no
// terminal has none.
func echoOf(stdin io.Reader) func(bool) {
	file, ok := stdin.(*os.File)
	if !ok {
		return func(bool) {}
	}
	return func(shown bool) {
		arg := map[bool]string{true: "echo", false: "-echo"}[shown]
		cmd := exec.Command("stty", arg)
		cmd.Stdin = file
		_ = cmd.Run() // no terminal
	}
}
