package secretsfile

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What setup writes, this package and a shell read alike.
func TestShellReadsTheSame(t *testing.T) {
	values := map[string]string{
		"DATABASE_URL": "postgres://u:p@host:6543/postgres?sslmode=verify-full&application_name=x y",
		"CLIENT_MODE":  `{"mode":"supabase","rooms":{"a b":"pusher"}}`,
		"PLAIN":        "eu",
		"QUOTES":       `it's "quoted" \ and $HOME and ` + "`date`",
		"DATABASE_CA":  "-----BEGIN CERTIFICATE-----\nMIIB=\n-----END CERTIFICATE-----\n",
		"EMPTY_LINE":   "#no comment",
	}
	path := filepath.Join(t.TempDir(), ".secrets")
	if err := (File{}).Write(path, values); err != nil {
		t.Fatal(err)
	}
	file, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range values {
		if got := file.Values()[name]; got != want {
			t.Errorf("%s is read as %q, want %q", name, got, want)
		}
		out, err := exec.CommandContext(t.Context(), "sh", "-c", `set -a; . "$1"; printf %s "$`+name+`"`, "sh", path).Output()
		if err != nil || string(out) != want {
			t.Errorf("the shell reads %s as %q (%v), want %q", name, out, err, want)
		}
	}
}

// Lines that are not ours stay; the file is replaced, and never readable by others.
func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".secrets")
	const old = "# mine\nexport PUSHER_KEY='old'\n\nPUSHER_KEY=twice\nOTHER = keep me \nSAME=\"a\"\nCLIENT_MODE={\"a\":1}\n"
	if err := os.WriteFile(path, []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := file.Values(); got["PUSHER_KEY"] != "twice" || got["OTHER"] != "keep me" || got["CLIENT_MODE"] != `{"a":1}` {
		t.Errorf("read as %q", got)
	}
	if err := file.Write(path, map[string]string{"PUSHER_KEY": "new", "SAME": "a", "CLIENT_MODE": `{"a":1}`, "ADDED": `"quoted"`}); err != nil {
		t.Fatal(err)
	}
	const want = "# mine\nPUSHER_KEY=new\n\nOTHER = keep me \nSAME=a\nCLIENT_MODE='{\"a\":1}'\nADDED='\"quoted\"'\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestALineThatIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".secrets")
	if err := os.WriteFile(path, []byte("ok=1\nhush-hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || err.Error() != "secrets: "+path+":2: must be NAME=value" {
		t.Errorf("a line that is none: %v", err)
	}
	if err := os.WriteFile(path, []byte("CA='never\nclosed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil {
		t.Error("a quote that is never closed is no error")
	}
	if file, err := Read(path + "-missing"); file != nil || err != nil {
		t.Errorf("a file that is not there: %v, %v", file, err)
	}
	if got := (File{"A=2"}).Over([]string{"A=1", "B=3"}); len(got) != 3 || got[2] != "A=2" {
		t.Errorf("over the environment: %q", got)
	}
}
