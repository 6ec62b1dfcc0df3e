package outboxtest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// StatementLog is what a server of its own, which logs every statement, has written.
type StatementLog struct {
	URL string // of the server's database postgres

	mu   sync.Mutex
	text strings.Builder
}

// StartLogged starts such a server; it ends with the test.
func StartLogged(tb testing.TB) *StatementLog {
	tb.Helper()
	l := &StatementLog{}
	l.URL = Start(tb, Options{Settings: map[string]string{"log_statement": "all"}, Log: l.add}).URL("postgres")
	return l
}

func (l *StatementLog) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line + "\n")
}

func (l *StatementLog) string() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// SoFar returns the log up to now at least: it sends a statement of its own and waits, for
// ten seconds at most, until that stands there.
func (l *StatementLog) SoFar(tb testing.TB) string {
	tb.Helper()
	mark := fmt.Sprint("mark ", time.Now().UnixNano())
	if err := Exec(tb.Context(), l.URL, `select '`+mark+`'`); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Second)
	defer cancel()
	for {
		if text := l.string(); strings.Contains(text, mark) {
			return text
		}
		select {
		case <-ctx.Done():
			tb.Fatal("the server's log does not come")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
