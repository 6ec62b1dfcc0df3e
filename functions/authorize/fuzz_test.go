package authorize_test

import (
	"context"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"roomcast/functions/authorize"
)

// What may be signed, written independently of the code: a connection, and a
// channel of a room.
var signable = regexp.MustCompile(`^[0-9]+\.[0-9]+ (private|presence|private-encrypted|private-packed)-room-[A-Za-z0-9_\-=@,.;]+$|^[0-9]+\.[0-9]+ private-user-` + user + `$`)

// FuzzForm sends any body as a user who may read every room, and looks for
// anything else being signed.
func FuzzForm(f *testing.F) {
	good := formOf(socket, "private-room-"+room)
	f.Add(good)
	f.Add(good + "&channel_name=presence-room-x")
	f.Add(formOf(socket, `:user::{"id":"12345"}`))
	f.Add(formOf(socket, "presence-room-x:{}"))
	f.Add(formOf(socket, "private-packed-room-"+room))
	f.Add(formOf("1.1:", "private-encrypted-room-=3A"))
	f.Add("socket_id=1.1;channel_name=private-room-a")
	f.Add("socket_id=%31.1&channel_name=private%2Droom-%3d3A")
	compact := bearer(f)
	everywhere := accessFunc(func(context.Context, string, string, []byte) (bool, error) { return true, nil })
	d := newDesk(f, func(c *authorize.Config) { c.Access = everywhere })

	f.Fuzz(func(t *testing.T, body string) {
		d.signer.signed, d.results = nil, nil
		w := post(d.channel, compact, body)
		if (w.Code == 200) != (len(d.signer.signed) == 1) || w.Code >= 500 {
			t.Fatalf("%d with %q signed", w.Code, d.signer.signed)
		}
		if w.Code != 200 {
			return
		}
		if signed := d.signer.signed[0]; !signable.MatchString(signed) || len(signed) > 164+40 {
			t.Fatalf("signed %q", signed)
		}
		if n := named(body, "channel_name"); n != 1 {
			t.Fatalf("signed with %d channel names", n)
		}
	})
}

// named counts a parameter without the help of url.ParseQuery.
func named(body, name string) (n int) {
	for pair := range strings.SplitSeq(body, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(key); err == nil && plain == name {
			n++
		}
	}
	return n
}
