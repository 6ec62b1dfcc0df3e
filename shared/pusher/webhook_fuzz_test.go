package pusher

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzWebhookBody: only what is signed is believed, and no body that is breaks us.
func FuzzWebhookBody(f *testing.F) {
	f.Add([]byte(`{"time_ms":1327078148132,"events":[{"name":"channel_occupied","channel":"test_channel"}]}`), "")
	f.Add([]byte(`{"time_ms":1,"events":[{"name":"member_added","channel":"presence-room-a","user_id":"1"}]}`), "709fdb84c03664445f7698120b0edf0acc1ab1c8c6e93a0368c61841d6b998aa")
	f.Add([]byte(`{"events":[null,{}],"events":0}`), "zz")
	f.Add([]byte("\xff"), "")
	client, err := New(Config{AppID: "3", Key: "278d425bdf160c739803", Secret: "7ad3773142a6692b25b8", Cluster: "eu"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, signature string) {
		right := string(client.signer.appendHex(nil, body))
		header := http.Header{"X-Pusher-Key": {client.cfg.Key}, "X-Pusher-Signature": {signature}}
		if hook, err := client.Webhook(header, body); err != ErrWebhookSignature && !strings.EqualFold(signature, right) {
			t.Fatalf("signature %q of %q: %v, %v", signature, body, hook, err)
		}
		header.Set("X-Pusher-Signature", right)
		hook, err := client.Webhook(header, body)
		if (hook == nil) == (err == nil) {
			t.Fatalf("%q: %v, %v", body, hook, err)
		}
	})
}
