package authorize_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roomcast/functions/authorize"
	"roomcast/shared/pusher"
	"roomcast/shared/token"
	"roomcast/shared/token/tokentest"
)

func TestInfoFromToken(t *testing.T) {
	type object = map[string]any
	long := strings.Repeat("é", 100)
	tests := []struct {
		name     string
		metadata any
		want     object
	}{
		{"absent", nil, nil},
		{"not an object", "x", nil},
		{"nothing for others", object{"email": "a@b.c", "phone": "+1", "sub": "x", "email_verified": true}, nil},
		{"both", object{"name": "Ada", "avatar_url": "https://x.org/a.png"}, object{"name": "Ada", "avatar_url": "https://x.org/a.png"}},
		{"as Google fills it", object{"full_name": "Ada L", "name": "Ada", "picture": "https://x.org/a"}, object{"name": "Ada L", "avatar_url": "https://x.org/a"}},
		{"odd types", object{"full_name": 7, "name": object{}, "avatar_url": []string{"https://x.org"}}, nil},
		{"odd type beside a name", object{"full_name": 7, "name": "Ada"}, object{"name": "Ada"}},
		{"control characters", object{"name": "A\x00d\na\u202e\u2066"}, object{"name": "Ada"}},
		{"only blanks", object{"name": " \t\n"}, nil},
		{"long name, cut at a letter", object{"name": "x" + long}, object{"name": "x" + strings.Repeat("é", 63)}},
		{"script", object{"avatar_url": "javascript:alert(1)"}, nil},
		{"data", object{"avatar_url": "data:image/png;base64,AAAA"}, nil},
		{"in the clear", object{"avatar_url": "http://x.org/a.png"}, nil},
		{"relative", object{"avatar_url": "//x.org/a.png"}, nil},
		{"credentials", object{"avatar_url": "https://u:p@x.org/a.png"}, nil},
		{"long URL", object{"avatar_url": "https://x.org/" + strings.Repeat("a", 499)}, nil},
		{"quotes", object{"avatar_url": `https://x.org/"`}, nil},
		{"the faulty one is passed over", object{"avatar_url": "x", "picture": "https://x.org/a"}, object{"avatar_url": "https://x.org/a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claims := tokentest.Claims(project, user, start)
			claims["user_metadata"] = tt.metadata
			raw, err := json.Marshal(claims)
			if err != nil {
				t.Fatal(err)
			}
			got, err := authorize.InfoFromToken(t.Context(), room, token.Claims{Raw: raw})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The worst that a profile can hold still fits into Pusher's 1 kB.
func TestInfoFits(t *testing.T) {
	d := newDesk(t)
	for _, name := range []string{strings.Repeat(`"`, 200), strings.Repeat("\u2029", 200), strings.Repeat("𝄞", 200)} {
		compact := bearer(t, set("user_metadata", map[string]any{
			"name": name, "avatar_url": "https://x.org/" + strings.Repeat("&", 498),
		}))
		if w := post(d.channel, compact, formOf(socket, "presence-room-"+room)); w.Code != 200 {
			t.Errorf("%.3q…: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestInfoIsReplaceable(t *testing.T) {
	d := newDesk(t, func(c *authorize.Config) {
		c.Info = func(_ context.Context, room string, u token.Claims) (map[string]any, error) {
			return map[string]any{"room": room, "of": u.UserID[:4]}, nil
		}
	})
	w := post(d.channel, bearer(t), formOf(socket, "presence-room-"+room))
	if want := `\"user_info\":{\"of\":\"8b9f\",\"room\":\"` + room + `\"}`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("%s lacks %s", w.Body, want)
	}
	d = newDesk(t, func(c *authorize.Config) {
		c.Info = func(context.Context, string, token.Claims) (map[string]any, error) { return nil, errors.New("down") }
	})
	d.refused(t, d.channel, bearer(t), formOf(socket, "presence-room-"+room), 503, authorize.ResultUnavailable)
	d = newDesk(t, func(c *authorize.Config) {
		c.Info = func(context.Context, string, token.Claims) (map[string]any, error) {
			return map[string]any{"x": strings.Repeat("x", pusher.MaxMemberInfo)}, nil
		}
	})
	if w := post(d.channel, bearer(t), formOf(socket, "presence-room-"+room)); w.Code != 500 {
		t.Errorf("too much info: %d", w.Code)
	}
}
