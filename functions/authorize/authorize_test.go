package authorize_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roomcast/functions/authorize"
	"roomcast/shared/event"
	"roomcast/shared/token"
	"roomcast/shared/token/tokentest"
)

const socket = "1234.1234"

// The signatures were computed with Python's hmac from the strings that Pusher
// documents (testdata/vectors.md, sections 2 to 5).
func TestGolden(t *testing.T) {
	const key = pusherKey + ":"
	named := set("user_metadata", map[string]any{"name": "Ada <3"})
	tests := []struct {
		name, channel, bearer string
		want                  map[string]string
	}{
		{"private", "private-room-" + room, bearer(t), map[string]string{
			"auth": key + "3f950c7d606c7b07c6e0d7c675e1c985cf675ce4077466a32b59b474bc9a320f",
		}},
		{"any text is a room", "private-room-=C3=A9=20x", bearer(t), map[string]string{
			"auth": key + "ebd37e57725c49ebf200bb8469062f9c8c90d50721722a5ba856f6f231050a9b",
		}},
		{"encrypted", "private-encrypted-room-" + room, bearer(t), map[string]string{
			"auth":          key + "1fde923ad7f77934a2c1da01c2ca664c08b3aab21be37e20a7c1841eec013dd2",
			"shared_secret": "AGeRIN81zbWWz5PJwIHwBnlIgQZdqD1mVEwPyNmgKhM=",
		}},
		{"packed", "private-packed-room-" + room, bearer(t), map[string]string{
			"auth": key + "6bfa8cca2ba6e8f833b8ebbdc9ea0c6cd7509403e31fcb4c81c0eced276078c2",
		}},
		{"presence", "presence-room-" + room, bearer(t), map[string]string{
			"auth":         key + "483df1490b826fe2c1bf288df44f4c4d25e18854489d32076e030e53a894d277",
			"channel_data": `{"user_id":"` + user + `"}`,
			"events":       "private-room-" + room,
		}},
		{"presence with a name", "presence-room-" + room, bearer(t, named), map[string]string{
			"auth":         key + "505797b263d6d4d75255ca087bdf1b49da68fa27880d1e150a91ba4dddf55b5d",
			"channel_data": `{"user_id":"` + user + `","user_info":{"name":"Ada <3"}}`,
			"events":       "private-room-" + room,
		}},
		{"user", "", bearer(t, named), map[string]string{
			"auth":      key + "9b6cb3df53dc3b9c8e7da3cfe3e8d0a09d65d6d350f9d1d6974d4fc3c335a0dc",
			"user_data": `{"id":"` + user + `"}`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			h, body := d.channel, formOf(socket, tt.channel)
			if tt.channel == "" {
				h, body = d.user, "socket_id="+socket
			}
			w := post(h, tt.bearer, body+"&csrf=of+the+page")
			var got map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			for name, value := range tt.want {
				if got[name] != value {
					t.Errorf("%s is %s, want %s", name, got[name], value)
				}
			}
			if len(got) != len(tt.want) {
				t.Errorf("answer %v", got)
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", w.Header())
			}
			if !slices.Equal(d.results, []string{authorize.ResultAllowed}) {
				t.Errorf("results %v", d.results)
			}
		})
	}
}

// refused checks that an answer is a refusal: the status, a short reason and
// nothing else, not to be kept, and nothing signed.
func (d *desk) refused(t *testing.T, h http.Handler, compact, body string, status int, result string, edits ...func(*http.Request)) string {
	t.Helper()
	w := post(h, compact, body, edits...)
	if w.Code != status {
		t.Errorf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	var got map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got["error"] == "" || w.Body.Len() > 200 {
		t.Errorf("body %q is no short JSON reason", w.Body)
	}
	for name := range got {
		if name != "error" && name != "field" {
			t.Errorf("body %q has %q", w.Body, name)
		}
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Error("the refusal may be stored")
	}
	if (w.Header().Get("Retry-After") != "") != (status == http.StatusServiceUnavailable) {
		t.Errorf("status %d with Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if len(d.signer.signed) > 0 {
		t.Errorf("signed %q", d.signer.signed)
	}
	if len(d.results) == 0 || d.results[len(d.results)-1] != result {
		t.Errorf("results %v, want %s", d.results, result)
	}
	return got["error"]
}

func TestTokenFaults(t *testing.T) {
	signer, err := tokentest.ES256("ec-1")
	if err != nil {
		t.Fatal(err)
	}
	es, err := signer.Sign(tokentest.Claims(project, user, start))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, bearer string
		status       int
		reason       error
	}{
		{"none", "", 401, token.ErrMissing},
		{"not a token", "sb_publishable_ACJWlzQHlZjBrEguHvfOxg", 401, token.ErrMalformed},
		{"expired", bearer(t, set("exp", start.Unix())), 401, token.ErrExpired},
		{"anon key", bearer(t, set("role", "anon")), 401, token.ErrRole},
		{"service key", bearer(t, set("role", "service_role")), 401, token.ErrRole},
		{"another audience", bearer(t, set("aud", "x")), 401, token.ErrAudience},
		{"another project", bearer(t, set("iss", "https://other.supabase.co/auth/v1")), 401, token.ErrIssuer},
		{"no user", bearer(t, set("sub", "x")), 401, token.ErrSubject},
		{"anonymous", bearer(t, set("is_anonymous", true)), 401, token.ErrAnonymous},
		{"changed", bearer(t)[:200] + "A" + bearer(t)[201:], 401, nil},
		{"no key set to ask", es, 503, token.ErrKeysUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, userAuth := range []bool{false, true} {
				d := newDesk(t)
				h := d.channel
				if userAuth {
					h = d.user
				}
				result := authorize.ResultBadToken
				if tt.status == 503 {
					result = authorize.ResultUnavailable
				}
				reason := d.refused(t, h, tt.bearer, formOf(socket, "private-room-"+room), tt.status, result)
				if tt.reason != nil && reason != tt.reason.Error() {
					t.Errorf("reason %q, want %q", reason, tt.reason)
				}
				if d.members.asked != nil {
					t.Error("the database was asked")
				}
			}
		})
	}
	t.Run("two headers", func(t *testing.T) {
		d := newDesk(t)
		d.refused(t, d.channel, bearer(t), formOf(socket, "private-room-"+room), 401, authorize.ResultBadToken, func(r *http.Request) {
			r.Header.Add("Authorization", "Bearer "+bearer(t))
		})
	})
}

// A stranger learns the same of a room that is there and of one that is not.
func TestNoOracle(t *testing.T) {
	d := newDesk(t)
	d.members.rooms = nil
	ask := func(channel string) string {
		return d.refused(t, d.channel, bearer(t), formOf(socket, channel), 403, authorize.ResultForbidden)
	}
	want := ask("private-room-" + room)
	for _, channel := range []string{"private-room-none", "presence-room-none", "private-encrypted-room-" + room, "private-room-=00"} {
		if got := ask(channel); got != want {
			t.Errorf("%s: %q, want %q", channel, got, want)
		}
	}
}

func TestKindsNotInUse(t *testing.T) {
	for _, kind := range allKinds {
		d := newDesk(t, func(c *authorize.Config) { c.Kinds = []event.ChannelKind{kind} })
		for _, other := range allKinds {
			channel, err := event.ChannelName(other, room)
			if err != nil {
				t.Fatal(err)
			}
			d.signer.signed = nil
			if other == kind && kind != event.Public {
				if w := post(d.channel, bearer(t), formOf(socket, channel)); w.Code != 200 {
					t.Errorf("%s: %d %s", channel, w.Code, w.Body)
				}
				continue
			}
			d.refused(t, d.channel, bearer(t), formOf(socket, channel), 403, authorize.ResultForbidden)
		}
	}
}

// Which rooms pack is told to those who may read the room, and to nobody else.
func TestPackedRooms(t *testing.T) {
	for _, tc := range []struct {
		name            string
		kinds           []event.ChannelKind
		granted, denied []string
	}{
		{"beside private", []event.ChannelKind{event.Private, event.Packed},
			[]string{"private-packed-room-" + room, "private-room-" + room, "private-room-=C3=A9=20x"}, []string{"private-packed-room-=C3=A9=20x"}},
		{"in place of private", []event.ChannelKind{event.Packed},
			[]string{"private-packed-room-" + room, "private-room-=C3=A9=20x"}, []string{"private-packed-room-=C3=A9=20x", "private-room-" + room}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDesk(t, func(c *authorize.Config) { c.Kinds, c.PackedRooms = tc.kinds, []string{room} })
			for _, channel := range tc.granted {
				if w := post(d.channel, bearer(t), formOf(socket, channel)); w.Code != http.StatusOK {
					t.Errorf("%s: %d %s", channel, w.Code, w.Body)
				}
			}
			for _, channel := range tc.denied {
				d.signer.signed = nil
				reason := d.refused(t, d.channel, bearer(t), formOf(socket, channel), 403, authorize.ResultForbidden)
				if !strings.Contains(reason, "no channel of kind") {
					t.Errorf("%s: %q does not say why", channel, reason)
				}
			}
			d.members.rooms = map[string]bool{} // a stranger
			for _, channel := range append(tc.granted, tc.denied...) {
				d.signer.signed = nil
				reason := d.refused(t, d.channel, bearer(t), formOf(socket, channel), 403, authorize.ResultForbidden)
				if reason != "you may not read this room" {
					t.Errorf("%s: a stranger is told %q", channel, reason)
				}
			}
		})
	}
}

func TestDatabaseDown(t *testing.T) {
	d := newDesk(t)
	d.members.err = errors.New("connection refused: password=hunter2")
	for _, prefix := range []string{"private-room-", "presence-room-", "private-encrypted-room-"} {
		reason := d.refused(t, d.channel, bearer(t), formOf(socket, prefix+room), 503, authorize.ResultUnavailable)
		if strings.Contains(reason, "hunter2") {
			t.Errorf("reason %q", reason)
		}
	}
	// Signing in asks no database.
	if w := post(d.user, bearer(t), "socket_id="+socket); w.Code != 200 {
		t.Errorf("user: %d", w.Code)
	}
}

func TestDatabaseSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := accessFunc(func(ctx context.Context, _, _ string, _ []byte) (bool, error) {
			<-ctx.Done()
			return true, ctx.Err()
		})
		d := newDesk(t, func(c *authorize.Config) { c.Access = stuck })
		begin := time.Now()
		d.refused(t, d.channel, bearer(t), formOf(socket, "private-room-"+room), 503, authorize.ResultUnavailable)
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("took %v, want 3s", took)
		}
	})
}

// A caller who hangs up is no outage.
func TestClientGone(t *testing.T) {
	ctx, hangUp := context.WithCancel(t.Context())
	d := newDesk(t, func(c *authorize.Config) {
		c.Access = accessFunc(func(ctx context.Context, _, _ string, _ []byte) (bool, error) {
			hangUp()
			return false, ctx.Err()
		})
	})
	w := post(d.channel, bearer(t), formOf(socket, "private-room-"+room), func(r *http.Request) { *r = *r.WithContext(ctx) })
	if w.Body.Len() > 0 || !slices.Equal(d.results, []string{authorize.ResultGone}) {
		t.Errorf("body %q, results %v", w.Body, d.results)
	}
}

// What the database is asked: the room's own id, the user, and the claims as signed.
func TestAccessIsAsked(t *testing.T) {
	var got struct {
		room, user string
		claims     map[string]any
	}
	d := newDesk(t, func(c *authorize.Config) {
		c.Access = accessFunc(func(_ context.Context, room, user string, claims []byte) (bool, error) {
			got.room, got.user = room, user
			return true, json.Unmarshal(claims, &got.claims)
		})
	})
	compact := bearer(t, set("app_metadata", map[string]any{"org": "acme"}))
	if w := post(d.channel, compact, formOf(socket, "private-room-a=2Fb=3A1")); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	org := got.claims["app_metadata"].(map[string]any)["org"]
	if got.room != "a/b:1" || got.user != user || org != "acme" || got.claims["sub"] != user {
		t.Errorf("asked for %+v", got)
	}
}
