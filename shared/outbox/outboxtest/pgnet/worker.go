package pgnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomcast/shared/backoff"
)

// maxContent bounds what is kept of a response's body.
const maxContent = 1 << 20

type request struct {
	ID      int64
	Method  string
	URL     string
	Headers map[string]string
	Body    []byte
	Timeout int // milliseconds
}

type response struct {
	id          int64
	status      *int
	contentType *string
	headers     map[string]string
	content     *string
	timedOut    bool
	problem     *string
}

// work connects and sends, and a second after an error starts again with its
// work in mind, as pg_net's worker does.
func (s *Sender) work(ctx context.Context) {
	for {
		_ = s.session(ctx) // The worker's own errors go to the server's log; requests keep theirs.
		if !backoff.Sleep(ctx, pause) {
			return
		}
		s.wake()
	}
}

// session waits for wakes on one connection, until that breaks.
func (s *Sender) session(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return fmt.Errorf("pgnet: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		if s.shouldWake.CompareAndSwap(true, false) {
			if err := s.drain(ctx, conn); err != nil {
				return err
			}
			continue
		}
		select {
		case <-s.latch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// drain sends batches until one is empty.
func (s *Sender) drain(ctx context.Context, conn *pgx.Conn) error {
	for {
		sent, err := s.batch(ctx, conn)
		if err != nil || sent == 0 {
			return err
		}
		select {
		case <-s.latch:
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// batch takes up to 200 requests off the queue, sends them and keeps the answers,
// in one transaction: others see the rows until the slowest answer is in, and a
// batch that breaks off has been sent yet is queued again.
func (s *Sender) batch(ctx context.Context, conn *pgx.Conn) (sent int, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return 0, fmt.Errorf("batch: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if locked, err := s.isLocked(ctx, tx); err != nil || locked {
		return 0, err
	}
	if _, err := tx.Exec(ctx, `delete from net._http_response where created < now() - $1::interval`, timeToLive); err != nil {
		return 0, fmt.Errorf("expire responses: %w", err)
	}
	rows, err := tx.Query(ctx, `
		delete from net.http_request_queue
		where id in (select id from net.http_request_queue order by id limit $1)
		returning id, upper(method), url, headers, body, timeout_milliseconds`, batchSize)
	if err != nil {
		return 0, fmt.Errorf("take requests: %w", err)
	}
	requests, err := pgx.CollectRows(rows, pgx.RowToStructByPos[request])
	if err != nil {
		return 0, fmt.Errorf("take requests: %w", err)
	}
	responses := s.sendAll(ctx, requests)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err := keep(ctx, tx, responses); err != nil {
		return 0, err
	}
	if err := tx.Commit(ctx); err != nil {
		return 0, fmt.Errorf("batch: %w", err)
	}
	return len(requests), nil
}

// isLocked reports whether somebody holds one of the tables to himself, as VACUUM FULL
// and ALTER EXTENSION do. The worker then ends its round and sleeps until the next wake,
// with what is queued still there (measured on 0.20.4).
func (s *Sender) isLocked(ctx context.Context, tx pgx.Tx) (bool, error) {
	const lockNotAvailable = "55P03"
	_, err := tx.Exec(ctx, `lock table net.http_request_queue, net._http_response in access share mode nowait`)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == lockNotAvailable {
		s.locked.Add(1)
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("batch: %w", err)
	}
	return false, nil
}

func (s *Sender) sendAll(ctx context.Context, requests []request) []response {
	answers := make(chan response)
	for _, r := range requests {
		go func() { answers <- s.send(ctx, r) }()
	}
	responses := make([]response, 0, len(requests))
	for range requests {
		responses = append(responses, <-answers)
	}
	return responses
}

// send makes one request, once. Redirects are followed as curl follows them: a
// POST answered by 301, 302 or 303 becomes a GET without a body.
func (s *Sender) send(ctx context.Context, r request) response {
	timeout := time.Duration(r.Timeout) * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s.requests.Add(1)
	resp, err := s.do(ctx, r)
	if err != nil {
		s.failures.Add(1)
		problem := err.Error()
		timedOut := errors.Is(err, context.DeadlineExceeded)
		if timedOut {
			problem = fmt.Sprintf("Timeout of %d ms reached", r.Timeout)
		}
		return response{id: r.ID, timedOut: timedOut, problem: &problem}
	}
	resp.id = r.ID
	return resp
}

func (s *Sender) do(ctx context.Context, r request) (response, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return response{}, err
	}
	req.Header.Set("Accept", "*/*")
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("User-Agent", "pg_net/0.20.4")
	resp, err := s.client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxContent))
	if err != nil {
		return response{}, err
	}
	headers := make(map[string]string, len(resp.Header))
	for name := range resp.Header {
		headers[name] = resp.Header.Get(name)
	}
	answer := response{status: &resp.StatusCode, headers: headers}
	if t := resp.Header.Get("Content-Type"); t != "" {
		answer.contentType = &t
	}
	if len(body) > 0 {
		content := string(bytes.ToValidUTF8(bytes.ReplaceAll(body, []byte{0}, nil), nil))
		answer.content = &content
	}
	return answer, nil
}

func keep(ctx context.Context, tx pgx.Tx, responses []response) error {
	var batch pgx.Batch
	for _, r := range responses {
		batch.Queue(`
			insert into net._http_response (id, status_code, content_type, headers, content, timed_out, error_msg)
			values ($1, $2, $3, $4, $5, $6, $7)`,
			r.id, r.status, r.contentType, r.headers, r.content, r.timedOut, r.problem)
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("keep responses: %w", err)
	}
	return nil
}
