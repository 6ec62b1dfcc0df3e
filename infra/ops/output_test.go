package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roomcast/infra/secretsfile"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/terminal"
)

// Room ids are chat users' text: none of it reaches a terminal as it is.
func TestHostileRoomIDs(t *testing.T) {
	p := newInstallation(t)
	p.exec(`alter table messages drop constraint if exists messages_room_id_fkey; alter table messages alter room_id type text`)
	p.exec(`select roomcast.attach_messages('messages')`)
	const evil = "\x1b]0;owned\a\u202etxt\u009b31m\nok   all good"
	id := p.write(evil, 1)
	r := p.claim("relay-1")[evil]
	for _, args := range [][]string{{"inspect", evil}, {"why", evil, "1"}, {"why", id}, {"why", evil, "7"}, {"why", evil + "?"}, {"skip", evil, "9", "-reason", "x"},
		{"skip", evil, "1", "-reason", evil, "-dry-run"}, {"inspect", evil, "-json"}, {"why", id, "-json"}} {
		p.harmless(args...)
	}
	p.ack(r, 1, 0)
	p.harmless("redrive", evil, "1", "-dry-run")
	p.exec(`insert into roomcast.parked values ($1, 1, 1, $1)`, evil)
	p.harmless("doctor")
	p.harmless("redrive", "-parked", "-dry-run")
}

// harmless runs a command and checks that nothing it prints acts on a terminal.
func (p *installation) harmless(args ...string) {
	p.Helper()
	_, out, problems := p.ops(args...)
	for line := range strings.SplitSeq(out+problems, "\n") {
		if terminal.Clean(line) != line || strings.HasPrefix(line, "ok   all good") {
			p.Errorf("ops %q prints %q", args, line)
		}
	}
	if !strings.Contains(out+problems, "owned") && args[0] != "doctor" {
		p.Errorf("ops %q does not name the room:\n%s%s", args, out, problems)
	}
}

// The file that setup wrote is read as it is, before the environment.
func TestSecretsFile(t *testing.T) {
	p := newInstallation(t)
	path := filepath.Join(t.TempDir(), ".secrets")
	file := secretsfile.File{}
	if err := file.Write(path, map[string]string{"OWNER_DATABASE_URL": p.OwnerURL + "&application_name=of-the-file"}); err != nil {
		t.Fatal(err)
	}
	p.OwnerURL, p.DatabaseURL = "postgres://nobody@127.0.0.1:1/none", ""
	if code, out, problems := p.ops("status", "-secrets", path); code != exitOK || !strings.Contains(out, "waiting") {
		t.Errorf("exit %d: %s%s", code, out, problems)
	}
	if code, _, problems := p.ops("status", "-secrets", path+"-missing"); code != exitFailed || !strings.Contains(problems, "no such file") {
		t.Errorf("a missing file: exit %d: %s", code, problems)
	}
}

func TestMigrate(t *testing.T) {
	p := &installation{T: t}
	p.connect(outboxtest.Database(t))
	code, out, _ := p.ops("migrate", "-dry-run")
	if code != exitOK || !strings.Contains(out, "would apply 001_schema.sql") {
		t.Errorf("migrate -dry-run: exit %d\n%s", code, out)
	}
	if one[bool](p, `select to_regnamespace('roomcast') is not null`) {
		t.Fatal("the dry run installed something")
	}
	if code, out, _ := p.ops("migrate"); code != exitOK || !strings.Contains(out, "applied 001_schema.sql") {
		t.Errorf("migrate: exit %d\n%s", code, out)
	}
	p.want(exitOK, "up to date", "migrate")
	p.exec(`create or replace function roomcast.may_sleep() returns boolean language sql as 'select true'`)
	p.want(exitOK, "applied 1 changed function: may_sleep", "migrate")
	p.exec(`insert into roomcast.migrations values (999)`)
	p.want(exitFailed, "ops: the database is newer than this program (version 999): use the program that migrated it", "migrate")
}

func TestDoctorOutput(t *testing.T) {
	p := newInstallation(t)
	code, out, _ := p.ops("doctor")
	if code != exitOK || !strings.HasSuffix(out, fmt.Sprintf("0 failures, 0 warnings, %d checks good\n", strings.Count(out, "ok  "))) {
		t.Errorf("doctor of a healthy one: exit %d\n%s", code, out)
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colours where no terminal reads")
	}
	p.AllowedOrigins = nil
	if code, out, _ := p.ops("doctor"); code != exitWarning || !strings.Contains(out, "WARN  origins        no origin is allowed") ||
		!strings.Contains(out, "\n                     → set ALLOWED_ORIGINS=") {
		t.Errorf("doctor with a warning: exit %d\n%s", code, out)
	}
	p.PusherSecret = "wrong"
	code, out, _ = p.ops("doctor", "-json")
	var got reportJSON
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFailed || got.Status != exitFailed || len(got.Findings) < 20 {
		t.Errorf("doctor -json with a failure: exit %d, %v\n%s", code, err, out)
	}
}

func TestCommandLine(t *testing.T) {
	p := &installation{T: t}
	for _, tc := range []struct {
		args []string
		code int
		say  string
	}{
		{nil, exitFailed, "doctor"},
		{[]string{"help"}, exitOK, "doctor"},
		{[]string{"inspect", "-h"}, exitOK, "inspect ROOM"},
		{[]string{"dance"}, exitFailed, `no command "dance"`},
		{[]string{"inspect"}, exitFailed, "inspect ROOM"},
		{[]string{"doctor", "everything"}, exitFailed, "there is no check \"everything\": settings, database"},
		{[]string{"status", "-nonsense"}, exitFailed, "nonsense"},
		{[]string{"status"}, exitFailed, "OWNER_DATABASE_URL is missing"},
	} {
		if code, _, problems := p.ops(tc.args...); code != tc.code || !strings.Contains(problems, tc.say) {
			t.Errorf("ops %v: exit %d, want %d and %q\n%s", tc.args, code, tc.code, tc.say, problems)
		}
	}
}

func TestPrinter(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "under 1 ms", 850 * time.Millisecond: "850 ms", -4200 * time.Millisecond: "4.2 s",
		200 * time.Second: "3 min 20 s", 307 * time.Minute: "5 h 7 min", 72 * time.Hour: "3 days",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) is %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -123: "-123"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) is %q, want %q", n, got, want)
		}
	}
	var out strings.Builder
	p := &printer{w: &out, colour: true, nonce: "n"}
	p.line("%s %s", p.bad("x\x1b"), "\x1b[2Jy")
	if got := out.String(); got != "\x1b[1;31mx\\x1b\x1b[0m \\x1b[2Jy\n" {
		t.Errorf("printed as %q", got)
	}
}
