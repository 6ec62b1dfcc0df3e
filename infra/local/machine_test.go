package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary play the function: a server that tells its pid,
// and that ends as it is told.
func TestMain(m *testing.M) {
	switch os.Getenv("LOCAL_TEST_FUNCTION") {
	case "":
		code := m.Run()
		_ = os.RemoveAll(functionDir) // "" is nothing
		os.Exit(code)
	case "broken":
		os.Exit(3)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/pid", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strconv.Itoa(os.Getpid())) })
	mux.HandleFunc("/sleep", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		w.(http.Flusher).Flush()
		time.AfterFunc(10*time.Millisecond, func() { os.Exit(0) })
	})
	err := http.ListenAndServe(net.JoinHostPort("127.0.0.1", os.Getenv("PORT")), mux)
	panic(err)
}

// newMachine returns a machine whose function is this test binary, and the
// address of the proxy before it.
func newMachine(t *testing.T, mode string) (*machine, string, <-chan error) {
	t.Helper()
	died := make(chan error, 10)
	m := &machine{
		binary: os.Args[0], env: append(os.Environ(), "LOCAL_TEST_FUNCTION="+mode), log: io.Discard,
		say: t.Logf, died: func(err error) { died <- err },
	}
	proxy := httptest.NewServer(newProxy(m).Handler)
	t.Cleanup(func() {
		proxy.Close()
		if err := m.stop(); err != nil {
			t.Error(err)
		}
	})
	return m, proxy.URL, died
}

func pid(t *testing.T, base string) int {
	t.Helper()
	status, body := call(t, "GET", base+"/pid", "", "")
	n, err := strconv.Atoi(body)
	if err != nil {
		t.Fatalf("%d %s", status, body)
	}
	return n
}

func (m *machine) now() *execution {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current
}

func TestRequestWakesASleepingFunction(t *testing.T) {
	m, base, _ := newMachine(t, "works")
	first := pid(t, base)
	before := m.now()
	if status, body := call(t, "GET", base+"/sleep", "", ""); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, body)
	}
	<-before.done
	if m.now() != nil {
		t.Error("it started again without a request")
	}
	if second := pid(t, base); second == first {
		t.Error("the same process")
	}
}

func TestKilledFunctionStartsAgainByItself(t *testing.T) {
	m, base, _ := newMachine(t, "works")
	first := pid(t, base)
	before := m.now()
	if err := kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-before.done
	for m.now() == nil { // no request wakes it: the restart policy does
		<-time.After(time.Millisecond)
	}
	<-m.now().healthy
	if second := pid(t, base); second == first {
		t.Error("the same process")
	}
}

// TestRequestsDuringADeathAreAnswered kills again and again while requests run.
// A request whose connection was cut may fail; one that could not connect waits.
func TestRequestsDuringADeathAreAnswered(t *testing.T) {
	_, base, _ := newMachine(t, "works")
	for range 3 {
		if err := kill(pid(t, base), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if status, body := call(t, "GET", base+"/pid", "", ""); status != http.StatusOK && status != http.StatusBadGateway {
			t.Errorf("%d %s", status, body)
		}
		pid(t, base)
	}
}

func TestHopelessFunctionIsGivenUp(t *testing.T) {
	m, base, died := newMachine(t, "broken")
	if status, _ := call(t, "GET", base+"/pid", "", ""); status != http.StatusBadGateway {
		t.Errorf("status %d", status)
	}
	if err := <-died; err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("died of %v", err)
	}
	if _, err := m.start(); err == nil || errors.Is(err, errStopped) {
		t.Errorf("start: %v", err)
	}
}

func TestParseApp(t *testing.T) {
	got, err := parseApp("http://key:s3cret@127.0.0.1:8081/apps/7")
	if want := (app{host: "127.0.0.1:8081", id: "7", key: "key", secret: "s3cret"}); err != nil || *got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := parseApp("https://k:s@example.org/apps/7"); err != nil || got.host != "example.org:443" || !got.tls {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "127.0.0.1:80", "http://127.0.0.1/apps/1", "http://k:s@h/apps/", "http://k:s@h/apps/1/2", "ftp://k:s@h/apps/1", "http://k@h/apps/1"} {
		if _, err := parseApp(bad); !errors.Is(err, errAppURL) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
