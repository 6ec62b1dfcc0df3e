package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"roomcast/shared/outbox/outboxtest"
)

// function is the shipped binary, running.
type function struct {
	address, metrics string // http://host:port
	pid              int
	ended            chan struct{} // closed when it has ended, with exit
	exit             error

	mu  sync.Mutex
	log bytes.Buffer
}

// start runs the function with an environment until the test ends, and returns when
// it listens.
func start(t *testing.T, environ []string) *function {
	t.Helper()
	cmd := exec.Command(build(t))
	cmd.Env = append(environ, "LOG_LEVEL=debug") // of two, the last counts
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f, listening := &function{pid: cmd.Process.Pid, ended: make(chan struct{})}, make(chan [2]string, 1)
	go func() {
		defer close(f.ended)
		f.follow(bufio.NewScanner(stderr), listening)
		f.exit = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-f.ended
	})
	select {
	case at := <-listening:
		f.address, f.metrics = "http://"+at[0], "http://"+at[1]
	case <-f.ended:
		t.Fatalf("the function ended:\n%s", f.logged())
	case <-time.After(20 * time.Second):
		t.Fatal("the function does not listen")
	}
	return f
}

func (f *function) follow(lines *bufio.Scanner, listening chan<- [2]string) {
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f.mu.Lock()
		f.log.Write(append(lines.Bytes(), '\n'))
		f.mu.Unlock()
		var line struct {
			Msg           string
			Addr, Metrics net.TCPAddr
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			listening <- [2]string{line.Addr.String(), line.Metrics.String()}
		}
	}
}

// logged is the log so far.
func (f *function) logged() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.String()
}

// message commits one message.
func (f *function) message(t *testing.T, url, content string) {
	t.Helper()
	if err := outboxtest.Exec(t.Context(), url, fmt.Sprintf(
		`insert into messages (room_id, content) values ('aaaaaaaa-0000-4000-8000-000000000001', '%s')`, content)); err != nil {
		t.Fatal(err)
	}
}

func (f *function) wakeUp(t *testing.T) {
	t.Helper()
	if status := f.post(t, "/webhooks/supabase", "application/json", `{"type":"WAKEUP"}`, webhookSecret); status != http.StatusAccepted {
		t.Fatalf("the wake-up webhook answered %d", status)
	}
}

// asMember asks as a member and reads the answer.
func (f *function) asMember(t *testing.T, path string, answer any) (status int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+memberToken(t))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		t.Fatalf("%d, %v", resp.StatusCode, err)
	}
	return resp.StatusCode
}

func (f *function) post(t *testing.T, path, contentType, body, bearer string) (status int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
