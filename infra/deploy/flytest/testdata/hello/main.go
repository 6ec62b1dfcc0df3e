// Hello is the program of flytest's own tests: it answers any request with 200, and
// exits with the status that the path names, as in GET /exit/3.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
)

func main() {
	// net/http would double the time to build this.
	l, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("LISTEN_HOST"), os.Getenv("PORT")))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	go func() {
		<-interrupted
		os.Exit(0)
	}()
	fmt.Println("hello from", os.Getenv("FLY_MACHINE_ID"), os.Getenv("GREETING"))
	for {
		conn, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		line, _ := bufio.NewReader(conn).ReadString('\n')
		var status int
		if n, _ := fmt.Sscanf(strings.TrimPrefix(line, "GET "), "/exit/%d", &status); n == 1 {
			os.Exit(status)
		}
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		conn.Close()
	}
}
