package authorize_test

import (
	"context"
	"encoding/json"
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

// FuzzBatch is FuzzForm for many channels: each that is answered 200 was signed, once, for
// the one connection.
func FuzzBatch(f *testing.F) {
	one, other := "private-room-"+room, "presence-room-x"
	f.Add(formOf(socket, one) + "&channel_name=" + other)
	f.Add(formOf(socket, one) + "&channel_name=" + one + "&socket_id=2.2")
	f.Add(formOf(socket, `:user::{"id":"12345"}`) + "&channel_name=" + other)
	f.Add("channel_name=private-user-" + user + "&socket_id=%31.1&channel_name=private%2Droom-%3d3A&channel_name=")
	compact := bearer(f)
	everywhere := accessFunc(func(context.Context, string, string, []byte) (bool, error) { return true, nil })
	d := newDesk(f, func(c *authorize.Config) { c.Access = everywhere })

	f.Fuzz(func(t *testing.T, body string) {
		d.signer.signed, d.results = nil, nil
		w := post(d.batch, compact, body)
		if w.Code >= 500 || w.Code != 200 && len(d.signer.signed) > 0 {
			t.Fatalf("%d with %q signed", w.Code, d.signer.signed)
		}
		var parts map[string]struct{ Status int }
		if w.Code != 200 {
			return
		}
		if err := json.Unmarshal(w.Body.Bytes(), &parts); err != nil || named(body, "socket_id") != 1 || named(body, "channel_name") > 100 {
			t.Fatalf("%v: %s", err, w.Body)
		}
		yes := 0
		for _, part := range parts {
			if part.Status == 200 {
				yes++
			}
		}
		if yes != len(d.signer.signed) {
			t.Fatalf("%d times yes, %q signed", yes, d.signer.signed)
		}
		for _, signed := range d.signer.signed {
			if id, _, _ := strings.Cut(signed, " "); !signable.MatchString(signed) || id != strings.Split(d.signer.signed[0], " ")[0] {
				t.Fatalf("signed %q", signed)
			}
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
