package web

import (
	"net/http"
	"time"
)

// recorder remembers what went out. status is 0 until something did.
type recorder struct {
	http.ResponseWriter
	status  int
	bytes   int64
	account account // of the answers under way
	leave   func()  // ends the request's turn; nil without one
}

// endTurn ends the request's turn before its answer is sent, since the client may read
// slowly.
func (rec *recorder) endTurn() {
	if rec.leave != nil {
		rec.leave()
		rec.leave = nil
	}
}

func (rec *recorder) close() {
	rec.endTurn()
	rec.account.close()
}

// Answers up to smallAnswer bytes are not charged: the connection's own buffers are as
// large. A client must read larger ones at answerPace bytes a second.
const (
	smallAnswer  = 16 << 10
	answerPace   = 32 << 10 // a second
	answerMargin = 10 * time.Second
)

// reserve charges an answer of n bytes to its budget, before the status is written.
func (rec *recorder) reserve(n int) error {
	if n <= smallAnswer || rec.account.budget == nil {
		return nil
	}
	if rec.account.take(int64(n)) != nil {
		return noRoom()
	}
	deadline := time.Now().Add(answerMargin + time.Duration(n)*time.Second/answerPace)
	_ = http.NewResponseController(rec.ResponseWriter).SetWriteDeadline(deadline) // not supported, and not needed, on Lambda
	return nil
}

// WriteHeader notes the first final status; informational ones may precede it.
func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 && status >= 200 {
		rec.status = status
		rec.endTurn()
	}
	rec.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes of the body.
func (rec *recorder) Write(p []byte) (int, error) {
	if rec.status == 0 {
		rec.status = http.StatusOK
		rec.endTurn()
	}
	n, err := rec.ResponseWriter.Write(p)
	rec.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the flusher and the deadlines.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }
