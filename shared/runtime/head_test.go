package runtime

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A head ends at its empty line, however it comes in pieces; what follows is not counted.
func TestHeadEnds(t *testing.T) {
	for text, want := range map[string]int{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                                     27,
		"GET / HTTP/1.1\nHost: x\n\nbody":                                       24,
		"\r\n\r\nGET / HTTP/1.1\r\n\r\n" + strings.Repeat("\n", 2*maxHeadLines): 22,
		"GET / HTTP/1.1\r\n \r\nx":                                              20,
		"GET / HTTP/1.1\r\nHost":                                                20,
		"":                                                                      0,
	} {
		for _, size := range []int{1, 2, 3, len(text) + 1} {
			var h head
			end := 0
			for at := 0; at < len(text); at += size {
				piece := []byte(text[at:min(len(text), at+size)])
				over := h.over
				n, err := h.read(piece)
				if err != nil || over && n != len(piece) {
					t.Fatalf("%q by %d: %d, %v", text, size, n, err)
				}
				if !over {
					end += n
				}
			}
			if end != want {
				t.Errorf("%q by %d: ends at %d, want %d", text, size, end, want)
			}
		}
	}
}

// Each head on a connection has its lines, and no more; a body has as many as it likes.
func TestManyHeaderLinesAreRefused(t *testing.T) {
	rn := start(t, t.Context(), Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, len(r.Header), len(body))
	}))
	headers := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "X%d:\r\n", i)
		}
		return b.String()
	}
	const closed = 0 // in place of an answer
	lines := strings.Repeat("\n", 3000)
	post := "POST / HTTP/1.1\r\nHost: x\r\n" + headers(90) + "Content-Length: 3000\r\n\r\n" + lines
	for name, tc := range map[string]struct {
		sent   string
		status []int
	}{
		"few":                    {post + post, []int{200, 200}},
		"many":                   {"GET / HTTP/1.1\r\nHost: x\r\n" + headers(100) + "\r\n", []int{400}},
		"many that do not end":   {"GET / HTTP/1.1\r\nHost: x\r\n" + headers(2000), []int{400}},
		"one name again":         {"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A:\n", 1000) + "\r\n", []int{400}},
		"many behind another":    {"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n" + headers(100) + "\r\n", []int{200, closed}},
		"without an end, behind": {"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n" + headers(300), []int{200, closed}},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(rn.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(readHeaderTimeout - time.Second))
		fmt.Fprint(conn, tc.sent)
		r := bufio.NewReader(conn)
		for i, want := range tc.status {
			answer, err := http.ReadResponse(r, nil)
			if want == closed && err != nil {
				break
			}
			if err != nil {
				t.Errorf("%s: answer %d: %v", name, i, err)
				break
			}
			text, _ := io.ReadAll(answer.Body)
			if answer.StatusCode != want || want == 400 && !answer.Close || strings.HasPrefix(tc.sent, "POST") && string(text) != "91 3000" {
				t.Errorf("%s: answer %d: %d %q, close %v", name, i, answer.StatusCode, text, answer.Close)
			}
		}
		_ = conn.Close()
	}
	rn.signals <- syscall.SIGTERM
	if err := <-rn.ended; err != nil {
		t.Error(err)
	}
}

// No answer of the server's own waits for a body.
func TestOptionsOfTheServerIsAnsweredUnread(t *testing.T) {
	rn := start(t, t.Context(), Config{}, http.NotFoundHandler())
	conn, err := net.Dial("tcp", strings.TrimPrefix(rn.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	fmt.Fprint(conn, "OPTIONS * HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
	if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || answer.StatusCode != http.StatusNotFound {
		t.Errorf("%v, %v", answer, err)
	}
	_ = conn.Close()
	rn.signals <- syscall.SIGTERM
	if err := <-rn.ended; err != nil {
		t.Error(err)
	}
}
