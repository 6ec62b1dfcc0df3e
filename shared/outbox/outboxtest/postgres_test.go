package outboxtest

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var answer string
	if err := conn.QueryRow(t.Context(), sql, pgx.QueryExecModeSimpleProtocol).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestDatabasesAreSeparate(t *testing.T) {
	first, second := Database(t), Database(t)
	execute(t, first, "create table only_here (id int)")
	if got := query(t, second, "select count(to_regclass('only_here'))::text"); got != "0" {
		t.Errorf("the second database sees %s tables of the first", got)
	}
	if got := query(t, first, "select current_setting('server_encoding')"); got != "UTF8" {
		t.Errorf("encoding %s", got)
	}
}

func TestDatabaseFromPreparesOnce(t *testing.T) {
	runs := 0
	prepare := func(ctx context.Context, url string) error {
		runs++
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, "create table prepared as select 42 as answer")
		return err
	}
	for range 3 {
		url := DatabaseFrom(t, "once", prepare)
		if got := query(t, url, "select answer::text from prepared"); got != "42" {
			t.Errorf("got %s", got)
		}
	}
	if runs != 1 {
		t.Errorf("prepared %d times", runs)
	}
}

func TestDatabaseIsDroppedThoughInUse(t *testing.T) {
	var url string
	t.Run("user", func(inner *testing.T) {
		url = Database(inner)
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) }) // after the inner test's own cleanup
	})
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		conn.Close(t.Context())
		t.Error("the database outlived its test")
	}
}

func TestCrashKeepsDurableCommits(t *testing.T) {
	s := Start(t, Options{Durable: true})
	url := s.URL("postgres")
	execute(t, url, "create table kept (id int); create unlogged table lost (id int)")
	execute(t, url, "insert into kept select generate_series(1, 100); insert into lost values (1)")
	execute(t, url, "insert into kept values (101)")
	if err := s.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.URL("postgres") != url {
		t.Errorf("moved from %s to %s", url, s.URL("postgres"))
	}
	if got := query(t, url, "select (select count(*) from kept) || ' ' || (select count(*) from lost)"); got != "101 0" {
		t.Errorf("kept and lost: %s, want 101 0", got)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	s, err := StartPostgres(ctx, Options{Settings: map[string]string{"max_connections": "7"}})
	demand(t, err)
	done := s.Done()
	if got := query(t, s.URL("postgres"), "select current_setting('max_connections')"); got != "7" {
		t.Errorf("max_connections %s", got)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	<-done
	if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory: %v", err)
	}
}

func TestTakenPortIsRefused(t *testing.T) {
	s := Start(t, Options{})
	other, err := StartPostgres(t.Context(), Options{Port: s.Port()})
	if !errors.Is(err, errPortTaken) {
		t.Errorf("got %v", err)
		if err == nil {
			other.Stop()
		}
	}
}

// TestKilledOwnerLeavesNothing runs this test in a second process, kills that
// with SIGKILL, and waits until the watchdog has removed the cluster.
func TestKilledOwnerLeavesNothing(t *testing.T) {
	if os.Getenv("OUTBOXTEST_VICTIM") != "" {
		s, err := StartPostgres(t.Context(), Options{})
		demand(t, err)
		os.Stdout.WriteString("dir " + s.Dir() + "\n")
		<-t.Context().Done()
		return
	}
	if _, err := FindBin(); err != nil {
		demand(t, err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledOwnerLeavesNothing$")
	cmd.Env = append(os.Environ(), "OUTBOXTEST_VICTIM=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dir := ""
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		if d, found := strings.CutPrefix(lines.Text(), "dir "); found {
			dir = d
		}
	}
	if dir == "" {
		t.Fatal("the victim did not start a cluster")
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	// The directory's end is seen by asking: nothing of ours is told of it.
	for deadline := time.Now().Add(time.Minute); ; {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", dir)
		}
		<-time.After(20 * time.Millisecond)
	}
}
