package runtime

import (
	"bytes"
	"errors"
)

// maxHeadLines bounds the lines of a request's head. net/http bounds its bytes alone, and
// keeps about a hundred bytes for a header of four. Browsers and proxies send some thirty.
const maxHeadLines = 100

var errHeadLines = errors.New("runtime: too many header lines")

// head counts the lines of a request's head while they are read. Its zero value waits for
// a head.
type head struct {
	over  bool // a body follows, or nothing
	lines int
	begun bool // the present line has a byte
}

// read counts the lines in p, which follows what was read before, and returns how much of p
// is before the end of the head: all of it if that has not come, or has come before.
func (h *head) read(p []byte) (n int, err error) {
	for !h.over && n < len(p) {
		line, _, ended := bytes.Cut(p[n:], []byte{'\n'})
		h.begun = h.begun || len(bytes.TrimRight(line, "\r")) > 0
		if !ended {
			return len(p), nil
		}
		n += len(line) + 1
		if h.begun {
			h.lines++
		}
		if h.lines > maxHeadLines {
			return 0, errHeadLines
		}
		if !h.begun && h.lines > 0 {
			h.over = true
			return n, nil
		}
		h.begun = false
	}
	return len(p), nil
}

// Read gives a request's head without what follows it, and fails when the head has too many
// lines.
func (c *conn) Read(p []byte) (n int, err error) {
	if len(c.behind) > 0 {
		n = copy(p, c.behind)
		c.behind = c.behind[n:]
	} else {
		n, err = c.Conn.Read(p)
	}
	whole, tooMany := c.head.read(p[:n])
	switch {
	case tooMany != nil:
		return 0, tooMany
	case whole < n:
		c.behind = append(bytes.Clone(p[whole:n]), c.behind...)
		return whole, nil // an error comes again
	}
	return n, err
}
