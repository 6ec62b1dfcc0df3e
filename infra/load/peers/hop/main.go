// Command hop is the least program that forwards a webhook: decode, sign, one POST.
package main

import (
	"net/http"
	"os"

	"roomcast/infra/load/peers/least"
)

// conns is how many calls to Pusher it keeps connections for; the function's own
// default.
const conns = 64

func main() {
	push := least.NewPusher(os.Getenv("PUSHER_HOST"), os.Getenv("PUSHER_APP_ID"), os.Getenv("PUSHER_KEY"), os.Getenv("PUSHER_SECRET"), conns)
	http.Handle("POST /webhooks/supabase", &least.Hop{Secret: os.Getenv("WEBHOOK_SECRET"), Pusher: push})
	http.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
