// Command serve is the least net/http server: how soon a Go program can answer.
package main

import (
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
