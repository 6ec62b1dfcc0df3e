package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"
	"time"
)

// What goes there and back is late twice, and the second of two things sent at once is
// no later than the first.
func TestDelay(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		conn, err := echo.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(conn, conn)
		_ = conn.Close()
	}()
	const each = 20 * time.Millisecond
	d, err := delayed("tcp://"+echo.Addr().String(), each)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	at, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	began := time.Now()
	for n := range 5 {
		fmt.Fprintf(conn, "%d\n", n)
	}
	lines := bufio.NewScanner(conn)
	for n := range 5 {
		if !lines.Scan() || lines.Text() != fmt.Sprint(n) {
			t.Fatalf("line %d: %q, %v", n, lines.Text(), lines.Err())
		}
	}
	if took := time.Since(began); took < 2*each || took > 2*each+10*time.Second {
		t.Errorf("there and back in %v, want a little over %v", took, 2*each)
	}
}
