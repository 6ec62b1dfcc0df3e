package pusher

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	gopusher "github.com/pusher/pusher-http-go/v5"
)

// What is signed here must be what pusher-http-go signs, for all it can sign.
func TestAuthorizationsAreTheLibrarys(t *testing.T) {
	_, c := loadVectors(t)
	lib := c.lib
	form := func(channel string) []byte {
		return []byte(url.Values{"socket_id": {"7.77"}, "channel_name": {channel}}.Encode())
	}
	for name, pair := range map[string][2]func() ([]byte, error){
		"private": {
			func() ([]byte, error) { return c.AuthorizePrivate("7.77", "private-a=b@c,d.e;f_g-H") },
			func() ([]byte, error) { return lib.AuthorizePrivateChannel(form("private-a=b@c,d.e;f_g-H")) },
		},
		"encrypted": {
			func() ([]byte, error) { return c.AuthorizeEncrypted("7.77", "private-encrypted-room-1") },
			func() ([]byte, error) { return lib.AuthorizePrivateChannel(form("private-encrypted-room-1")) },
		},
		"presence": {
			func() ([]byte, error) {
				return c.AuthorizePresence("7.77", "presence-x", Member{"ü", map[string]any{"b": "1", "a": "2"}})
			},
			func() ([]byte, error) {
				return lib.AuthorizePresenceChannel(form("presence-x"),
					gopusher.MemberData{UserID: "ü", UserInfo: map[string]string{"a": "2", "b": "1"}})
			},
		},
		"presence without info": {
			func() ([]byte, error) { return c.AuthorizePresence("7.77", "presence-x", Member{UserID: "1"}) },
			func() ([]byte, error) {
				return lib.AuthorizePresenceChannel(form("presence-x"), gopusher.MemberData{UserID: "1"})
			},
		},
		"user": {
			func() ([]byte, error) { return c.AuthorizeUser("7.77", map[string]any{"id": "u", "n": 1.5}) },
			func() ([]byte, error) { return lib.AuthenticateUser(form(""), map[string]any{"id": "u", "n": 1.5}) },
		},
	} {
		ours, err := pair[0]()
		theirs, libErr := pair[1]()
		if err != nil || libErr != nil {
			t.Fatalf("%s: %v, %v", name, err, libErr)
		}
		var a, b authorization
		if json.Unmarshal(ours, &a) != nil || json.Unmarshal(theirs, &b) != nil || a != b || a.Auth == "" {
			t.Errorf("%s: ours %s, the library's %s", name, ours, theirs)
		}
	}
}

func TestChannelGrammar(t *testing.T) {
	longest := "private-" + strings.Repeat("x", 164-len("private-"))
	for channel, want := range map[string]error{
		"private-room-6f1e4c5e-0000-4000-8000-000000000001": nil,
		"private-room-=20=E2=82=AC":                         nil,
		"private-a=b@c,d.e;f_g-H":                           nil,
		longest:                                             nil,
		longest + "x":                                       ErrChannel,
		"private-":                                          ErrChannel,
		"":                                                  ErrChannel,
		"room-1":                                            ErrChannel, // public: nothing to authorize
		"presence-x":                                        ErrChannel,
		"private-encrypted-x":                               ErrChannel, // has a call of its own
		"Private-x":                                         ErrChannel,
		"private-a b":                                       ErrChannel,
		"private-a\n":                                       ErrChannel,
		"private-a\x00":                                     ErrChannel,
		"private-ä":                                         ErrChannel,
		"private-a:b":                                       ErrChannel,
		"private-a/b":                                       ErrChannel,
		"private-a&b":                                       ErrChannel,
		"#server-to-user-1":                                 ErrChannel,
		`private-a:{"user_id":"1"}`:                         ErrChannel,
	} {
		_, c := loadVectors(t)
		got, err := c.AuthorizePrivate("1.2", channel)
		if !errors.Is(err, want) || (got == nil) != (want != nil) {
			t.Errorf("%q: %s, %v; want %v", channel, got, err, want)
		}
		if want != nil && channel != "" && strings.Contains(err.Error(), channel) {
			t.Errorf("%q: the error repeats what it refuses: %v", channel, err)
		}
	}
}

func TestSocketIDGrammar(t *testing.T) {
	_, c := loadVectors(t)
	for id, want := range map[string]error{
		"1.2": nil, "123456.7890123456": nil,
		"": ErrSocketID, "1": ErrSocketID, "1.": ErrSocketID, ".1": ErrSocketID, "1.2.3": ErrSocketID,
		"1.2\n": ErrSocketID, " 1.2": ErrSocketID, "1.2:private-x": ErrSocketID, "-1.2": ErrSocketID,
		"1.٣": ErrSocketID, "1e3.1": ErrSocketID, strings.Repeat("1", 100) + ".1": ErrSocketID,
	} {
		_, private := c.AuthorizePrivate(id, "private-x")
		_, presence := c.AuthorizePresence(id, "presence-x", Member{UserID: "1"})
		_, encrypted := c.AuthorizeEncrypted(id, "private-encrypted-x")
		_, user := c.AuthorizeUser(id, map[string]any{"id": "1"})
		for kind, err := range map[string]error{"private": private, "presence": presence, "encrypted": encrypted, "user": user} {
			if !errors.Is(err, want) {
				t.Errorf("%s %q: %v, want %v", kind, id, err, want)
			}
		}
	}
}

func TestMemberAndUserLimits(t *testing.T) {
	_, c := loadVectors(t)
	info := func(n int) map[string]any { return map[string]any{"x": strings.Repeat("<", n)} }
	for name, tc := range map[string]struct {
		member Member
		want   error
	}{
		"longest id":       {Member{UserID: strings.Repeat("ü", 128)}, nil},
		"id too long":      {Member{UserID: strings.Repeat("u", 129)}, ErrUser},
		"no id":            {Member{}, ErrUser},
		"id not UTF-8":     {Member{UserID: "\xff"}, ErrUser},
		"largest info":     {Member{"1", info(1024 - len(`{"x":""}`))}, nil},
		"info too large":   {Member{"1", info(1025 - len(`{"x":""}`))}, ErrUser},
		"info not as JSON": {Member{"1", map[string]any{"f": func() {}}}, ErrUser},
	} {
		if _, err := c.AuthorizePresence("1.2", "presence-x", tc.member); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	for name, data := range map[string]map[string]any{
		"none": nil, "no id": {"name": "x"}, "number": {"id": 1}, "empty": {"id": ""},
		"colons": {"id": "a::b"}, "slash": {"id": "a/../b"}, "not as JSON": {"id": "a", "f": func() {}},
	} {
		if got, err := c.AuthorizeUser("1.2", data); !errors.Is(err, ErrUser) || got != nil {
			t.Errorf("user %s: %s, %v", name, got, err)
		}
	}
}

func TestEncryptedNeedsAKey(t *testing.T) {
	c, err := New(Config{AppID: "1", Key: "k", Secret: "s", Cluster: "eu"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AuthorizeEncrypted("1.2", "private-encrypted-x"); !errors.Is(err, ErrNoEncryptionKey) {
		t.Error(err)
	}
	if err := c.PublishBatch(t.Context(), []Event{{Channel: "private-encrypted-x", Name: "n"}}); !errors.Is(err, ErrNoEncryptionKey) {
		t.Error(err)
	}
}
