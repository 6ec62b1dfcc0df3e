package main

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"roomcast/infra/secretsfile"
)

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
	sqlBlock   = regexp.MustCompile("(?s)```sql\n(.*?)```")
	quotedOps  = regexp.MustCompile("`(ops [^`]+)`")
	shellWord  = regexp.MustCompile(`'[^']*'|[^\s']+`)
)

// opsLines are the commands of a runbook, in order and each once.
func opsLines(t *testing.T, path string) (lines []string) {
	t.Helper()
	text := readFile(t, path)
	seen := map[string]bool{}
	add := func(line string) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "ops ") && !seen[line] {
			seen[line] = true
			lines = append(lines, line)
		}
	}
	for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
		for line := range strings.SplitSeq(block[1], "\n") {
			add(line)
		}
	}
	for _, quoted := range quotedOps.FindAllStringSubmatch(text, -1) {
		add(quoted[1])
	}
	return lines
}

// Every command that a runbook or an alert names does what it says there, on an
// installation in trouble: an event is parked, and one waits behind it.
func TestRunbookLines(t *testing.T) {
	lines := append(opsLines(t, "../OPERATING.md"), opsLines(t, "prometheus/alerts.yml")...)
	if len(lines) < 15 {
		t.Fatalf("only %d commands found: %q", len(lines), lines)
	}
	for _, line := range lines {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			p := newInstallation(t)
			p.park()
			id := p.write(roomA, 1)
			p.exec(`update roomcast.rooms set due = now()`)
			path := filepath.Join(t.TempDir(), ".secrets")
			if err := (secretsfile.File{}).Write(path, map[string]string{"LOG_LEVEL": "info"}); err != nil {
				t.Fatal(err)
			}
			seq := "2" // the parked one
			if strings.HasPrefix(line, "ops skip") {
				seq = "3" // the one that waits
			}
			var args []string
			for _, word := range shellWord.FindAllString(line, -1)[1:] {
				word = strings.Trim(word, "'")
				args = append(args, map[string]string{"ROOM": roomA, "SEQ": seq, "ID": id, ".secrets": path}[word])
				if args[len(args)-1] == "" {
					args[len(args)-1] = word
				}
			}
			p.runsAsWritten(args)
		})
	}
}

// runsAsWritten runs a command, or watches it for a moment; only doctor, delivery and parity may
// say that something is wrong.
func (p *installation) runsAsWritten(args []string) {
	p.Helper()
	p.function.answerDoctor(args)
	ctx := p.Context()
	for _, a := range args {
		if a == "-watch" {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, 500*time.Millisecond)
			defer cancel()
		}
	}
	var out, problems strings.Builder
	code := run(ctx, args, p.environment(), &out, &problems)
	judged := args[0] == "doctor" || args[0] == "parity" || args[0] == "delivery"
	if code != exitOK && !judged || strings.Contains(problems.String(), "ops "+args[0]+" ") || out.Len() == 0 {
		p.Errorf("ops %q: exit %d\n%s%s", args, code, out.String(), problems.String())
	}
}

// Every statement of the runbook runs.
func TestRunbookStatements(t *testing.T) {
	p := newInstallation(t)
	statements := 0
	for _, block := range sqlBlock.FindAllStringSubmatch(readFile(t, "../OPERATING.md"), -1) {
		for line := range strings.SplitSeq(block[1], "\n") {
			if line, _, _ = strings.Cut(line, " --"); strings.TrimSpace(line) == "" {
				continue
			}
			statements++
			p.exec(`begin`)
			p.exec(line)
			p.exec(`rollback`)
		}
	}
	if statements < 6 {
		t.Errorf("only %d statements found", statements)
	}
}
