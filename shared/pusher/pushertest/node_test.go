package pushertest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// node is a running Node script that takes and gives JSON, one value a line.
type node struct {
	mu    sync.Mutex
	stdin io.WriteCloser
}

// startNode runs testdata/<script> until the test ends, handing each line it prints to hear.
func startNode(t *testing.T, script string, env []string, hear func([]byte)) *node {
	t.Helper()
	modules := NodeModules(t)
	cmd := exec.Command("node", "testdata/"+script)
	cmd.Env = append(os.Environ(), append(env, "NODE_MODULES="+modules)...)
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heard := make(chan struct{})
	t.Cleanup(func() {
		_ = stdin.Close() // the script's sign to leave
		<-heard           // all of stdout, before Wait closes it
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", script, err)
		}
	})
	go func() {
		defer close(heard)
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			hear(lines.Bytes())
		}
	}()
	return &node{stdin: stdin}
}

func (n *node) say(t *testing.T, v any) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, err := n.stdin.Write(append(marshal(v), '\n')); err != nil {
		t.Fatal(err)
	}
}

// seen is something a page learned from pusher-js.
type seen struct {
	Browser  string          `json:"browser"`
	Kind     string          `json:"kind"` // state, error, channel, client, user, message, closed
	Channel  string          `json:"channel"`
	Event    string          `json:"event"`
	Data     json.RawMessage `json:"data,omitempty"`
	SocketID string          `json:"socket_id"`
	UserID   string          `json:"user_id"`
}

// browsers are pages with pusher-js, all in one Node process.
type browsers struct {
	*node
	changed broadcast
	mu      sync.Mutex
	seen    []seen // not yet awaited
}

func startBrowsers(t *testing.T) *browsers {
	b := &browsers{}
	b.node = startNode(t, "browsers.cjs", nil, func(line []byte) {
		var s seen
		if err := json.Unmarshal(line, &s); err != nil {
			t.Errorf("browsers.cjs printed %s", line)
			return
		}
		b.mu.Lock()
		b.seen = append(b.seen, s)
		b.mu.Unlock()
		b.changed.notify()
	})
	return b
}

// await returns the first thing seen that was not awaited before and fits; empty members of
// want fit all.
func (b *browsers) await(t *testing.T, want seen) seen {
	t.Helper()
	var found seen
	err := b.changed.until(within(t), func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for i, s := range b.seen {
			if s.fits(want) {
				found = s
				b.seen = append(b.seen[:i:i], b.seen[i+1:]...)
				return true
			}
		}
		return false
	})
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		t.Fatalf("%v was not seen; what was: %v", want, b.seen)
	}
	return found
}

// none fails when something fitting was seen and not awaited.
func (b *browsers) none(t *testing.T, unwanted seen) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.seen {
		if s.fits(unwanted) {
			t.Errorf("seen: %v", s)
		}
	}
}

// forget drops what was seen and not awaited.
func (b *browsers) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = nil
}

func (s seen) String() string { return nested(s) }

func (s seen) fits(want seen) bool {
	same := func(got, want string) bool { return want == "" || got == want }
	return same(s.Browser, want.Browser) && same(s.Kind, want.Kind) && same(s.Channel, want.Channel) &&
		same(s.Event, want.Event) && same(string(s.Data), string(want.Data)) && same(s.UserID, want.UserID)
}

// npmLibrary is the npm package pusher, in a Node process of its own.
type npmLibrary struct {
	*node
	t       *testing.T
	mu      sync.Mutex
	last    int
	waiting map[int]chan npmAnswer
}

type npmAnswer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`
	Status int             `json:"status"`
}

func startNPM(t *testing.T, app map[string]any) *npmLibrary {
	l := &npmLibrary{t: t, waiting: make(map[int]chan npmAnswer)}
	l.node = startNode(t, "library.cjs", []string{"PUSHER=" + nested(app)}, func(line []byte) {
		var a npmAnswer
		if err := json.Unmarshal(line, &a); err != nil {
			t.Errorf("library.cjs printed %s", line)
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.waiting[a.ID] <- a // has room for the one answer
		delete(l.waiting, a.ID)
	})
	return l
}

// call runs one function of the library; its error is the library's text.
func (l *npmLibrary) call(ctx context.Context, op string, args map[string]any) (json.RawMessage, int, error) {
	answer := make(chan npmAnswer, 1)
	l.mu.Lock()
	l.last++
	request := map[string]any{"id": l.last, "op": op}
	l.waiting[l.last] = answer
	l.mu.Unlock()
	for k, v := range args {
		request[k] = v
	}
	l.say(l.t, request)
	select {
	case a := <-answer:
		if a.Error != "" {
			return nil, a.Status, errors.New(a.Error)
		}
		return a.Result, 200, nil
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}
