package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// driven is what came of driving a server.
type driven struct {
	requests  int
	took      time.Duration
	latencies []time.Duration
}

func (d driven) rate() float64 { return perSecond(d.requests, d.took) }

// drive sends requests over this many connections, each as soon as the last one on
// it was answered, until the time is over. request gives the bytes of the next one.
// Any answer but 2xx is an error: a refusal is quick, and no figure.
//
// It speaks HTTP itself, since client and server share the machine's cores: what
// net/http's client costs would be taken from every server alike and make them
// look alike.
func drive(ctx context.Context, addr string, conns int, length time.Duration, request func() []byte) (driven, error) {
	latencies := make([][]time.Duration, conns)
	start := time.Now()
	until := start.Add(length)
	err := overConns(ctx, addr, conns, until.Add(10*time.Second), func(ctx context.Context, c int, ask asker) error {
		for time.Now().Before(until) && ctx.Err() == nil {
			sent := time.Now()
			if _, err := ask(request(), nil); err != nil {
				return err
			}
			latencies[c] = append(latencies[c], time.Since(sent))
		}
		return nil
	})
	d := driven{took: time.Since(start)}
	for _, l := range latencies {
		d.requests += len(l)
		d.latencies = append(d.latencies, l...)
	}
	return d, err
}

var errChunked = errors.New("an answer without a length")

// driveAll sends each request once, as soon as a connection is free, and returns how
// long after the beginning each was answered, and the sum of what worth makes of the
// answers.
func driveAll(ctx context.Context, addr string, conns int, requests [][]byte, worth func(body []byte) int) ([]time.Duration, int, error) {
	took := make([]time.Duration, len(requests))
	var next, sum atomic.Int64
	start := time.Now()
	err := overConns(ctx, addr, conns, start.Add(time.Minute), func(ctx context.Context, _ int, ask asker) (err error) {
		body := []byte{}
		for i := next.Add(1) - 1; i < int64(len(requests)) && ctx.Err() == nil; i = next.Add(1) - 1 {
			if body, err = ask(requests[i], body[:0]); err != nil {
				return err
			}
			took[i] = time.Since(start)
			sum.Add(int64(worth(body)))
		}
		return nil
	})
	return took, int(sum.Load()), err
}

// asker sends a request and reads its answer, as readAnswer does.
type asker func(request, body []byte) ([]byte, error)

// overConns runs do for each of so many connections, at the same time.
func overConns(ctx context.Context, addr string, conns int, deadline time.Time, do func(ctx context.Context, c int, ask asker) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for c := range conns {
		g.Go(func() error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			if err != nil {
				return err
			}
			defer conn.Close()
			_ = conn.SetDeadline(deadline)
			answers := bufio.NewReader(conn)
			return do(ctx, c, func(request, body []byte) ([]byte, error) {
				if _, err := conn.Write(request); err != nil {
					return body, err
				}
				return readAnswer(answers, body)
			})
		})
	}
	return g.Wait()
}

// readAnswer reads one answer of HTTP/1.1 with a Content-Length, and appends its body
// to what is given; to nil it appends nothing.
func readAnswer(r *bufio.Reader, body []byte) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return body, err
	}
	if len(line) < 12 || line[9] != '2' { // HTTP/1.1 202 Accepted
		return body, fmt.Errorf("answer %q", bytes.TrimSpace(line))
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return body, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); len(name) == 14 && bytes.EqualFold(name, []byte("content-length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return body, err
			}
		}
	}
	if length < 0 {
		return body, errChunked
	}
	if body == nil {
		_, err = r.Discard(length)
		return nil, err
	}
	from := len(body)
	body = append(body, make([]byte, length)...)
	_, err = io.ReadFull(r, body[from:])
	return body, err
}

// post writes a POST as it goes over the wire; headers are further "Name: value".
func post(path, contentType, bearer, body string, headers ...string) []byte {
	headers = append(headers, "Host: load", "Content-Type: "+contentType, "Authorization: Bearer "+bearer, "Content-Length: "+strconv.Itoa(len(body)))
	return []byte("POST " + path + " HTTP/1.1\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n" + body)
}
