package pushertest

import (
	"context"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	maxQueued    = 32 << 10         // messages; a reader this far behind is cut off, as Pusher does
	writeTimeout = 10 * time.Second // for one message
)

// queue stands between publishers and one connection: adding never waits, so that a slow
// reader holds up nobody. It takes memory only while the reader is behind.
type queue struct {
	conn *websocket.Conn
	cut  func()        // ends the connection without a word
	wake chan struct{} // one slot

	mu      sync.Mutex
	waiting [][]byte
	code    websocket.StatusCode // set once, to close with when all is sent
	reason  string
}

func newQueue(conn *websocket.Conn, cut func()) *queue {
	return &queue{conn: conn, cut: cut, wake: make(chan struct{}, 1)}
}

func (q *queue) add(message []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.code != 0 {
		return
	}
	if len(q.waiting) >= maxQueued {
		q.cut() // it would not read a closing message either
		return
	}
	q.waiting = append(q.waiting, message)
	q.signal()
}

// close sends what waits, then closes with the code.
func (q *queue) close(code websocket.StatusCode, reason string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.code == 0 {
		q.code, q.reason = code, reason
	}
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run writes until the context ends, a write fails, or the queue is closed.
func (q *queue) run(ctx context.Context) {
	for {
		select {
		case <-q.wake:
		case <-ctx.Done():
			return
		}
		q.mu.Lock()
		messages, code, reason := q.waiting, q.code, q.reason
		q.waiting = nil
		q.mu.Unlock()
		for _, message := range messages {
			if !q.write(ctx, message) {
				return
			}
		}
		if code != 0 {
			_ = q.conn.Close(code, reason)
			return
		}
	}
}

func (q *queue) write(ctx context.Context, message []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return q.conn.Write(ctx, websocket.MessageText, message) == nil
}
