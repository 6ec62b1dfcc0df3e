package main

import (
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

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
	shared := newTroubled(t)
	for _, line := range lines {
		t.Run(line, func(t *testing.T) {
			in := *shared
			in.installation = &installation{}
			*in.installation = *shared.installation
			in.installation.T = t
			if changes := strings.HasPrefix(line, "ops redrive") || strings.HasPrefix(line, "ops skip"); changes && !strings.Contains(line, "-dry-run") {
				t.Parallel()
				in = *newTroubled(t)
			}
			in.run(line)
		})
	}
}

// troubled is an installation with an event that was parked, and one that waits behind it.
type troubled struct {
	*installation
	id      string // of the row that waits
	secrets string // a secrets file
}

func newTroubled(t *testing.T) *troubled {
	t.Helper()
	in := &troubled{installation: newInstallation(t), secrets: filepath.Join(t.TempDir(), ".secrets")}
	in.park()
	in.id = in.write(roomA, 1)
	if err := (secretsfile.File{}).Write(in.secrets, map[string]string{"LOG_LEVEL": "info"}); err != nil {
		t.Fatal(err)
	}
	return in
}

// run fills in what a person would, and runs the line.
func (in *troubled) run(line string) {
	in.Helper()
	fill := map[string]string{"ROOM": roomA, "SEQ": "2", "ID": in.id, ".secrets": in.secrets} // 2 was parked
	if strings.HasPrefix(line, "ops skip") {
		fill["SEQ"] = "3" // the one that waits
	}
	var args []string
	for _, word := range shellWord.FindAllString(line, -1)[1:] {
		word = strings.Trim(word, "'")
		if filled, ok := fill[word]; ok {
			word = filled
		}
		args = append(args, word)
	}
	in.runsAsWritten(args)
}

// shown keeps what is printed, and calls then at the first of it.
type shown struct {
	strings.Builder
	then func()
}

func (s *shown) Write(p []byte) (int, error) {
	if s.then != nil {
		s.then()
	}
	return s.Builder.Write(p)
}

// runsAsWritten runs a command, or watches it until it has shown something; only doctor, delivery and parity may
// say that something is wrong.
func (p *installation) runsAsWritten(args []string) {
	p.Helper()
	p.function.answerDoctor(args)
	ctx, cancel := context.WithCancel(p.Context())
	defer cancel()
	out := shown{}
	if slices.Contains(args, "-watch") {
		out.then = cancel
	}
	var problems strings.Builder
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
