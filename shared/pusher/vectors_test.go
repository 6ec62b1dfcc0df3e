package pusher

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

type vectors struct {
	AppID         string `json:"app_id"`
	Key           string `json:"key"`
	Secret        string `json:"secret"`
	Timestamp     int64  `json:"timestamp"`
	EncryptionKey string `json:"encryption_key"`
	Requests      []struct {
		Name, Method, Path, Body, Signature string
		Query                               map[string]string
	} `json:"requests"`
	SocketID string `json:"socket_id"`
	Private  struct{ Channel, Signature string }
	User     struct {
		UserData  string `json:"user_data"`
		Signature string
	}
	Presence []struct {
		Channel, Name, Signature string
		UserID                   string `json:"user_id"`
		ChannelData              string `json:"channel_data"`
	}
	Encrypted struct {
		Channel      string
		SharedSecret string `json:"shared_secret"`
	}
	Webhook         struct{ Body, Signature string }
	HostileChannels []string `json:"hostile_channels"`
}

func loadVectors(t testing.TB) (vectors, *Client) {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{AppID: v.AppID, Key: v.Key, Secret: v.Secret, Host: "localhost:1",
		EncryptionKey: base64.StdEncoding.EncodeToString([]byte(v.EncryptionKey))})
	if err != nil {
		t.Fatal(err)
	}
	return v, c
}

// The JSON is a copy for machines; what a person reads and checks is vectors.md.
func TestVectorsAreThoseOfTheDocument(t *testing.T) {
	document, err := os.ReadFile("../../testdata/vectors.md")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	sums := regexp.MustCompile(`"([0-9a-f]{20,}|[A-Za-z0-9+/]{43}=)"`).FindAllSubmatch(raw, -1)
	if len(sums) < 13 {
		t.Fatalf("only %d signatures found in vectors.json", len(sums))
	}
	for _, sum := range sums {
		if !strings.Contains(string(document), string(sum[1])) {
			t.Errorf("%s is not in vectors.md", sum[1])
		}
	}
}

func TestRequestVectors(t *testing.T) {
	v, c := loadVectors(t)
	signed := 0
	for _, r := range v.Requests {
		if r.Body != "" {
			continue // the library's to sign; pushertest verifies these vectors
		}
		query := url.Values{}
		for name, value := range r.Query {
			query.Set(name, value)
		}
		got := c.signedQuery(r.Method, r.Path, query, time.Unix(v.Timestamp, 0))
		if got.Get("auth_signature") != r.Signature {
			t.Errorf("%s: signature %s, want %s", r.Name, got.Get("auth_signature"), r.Signature)
		}
		if query.Has("auth_key") {
			t.Errorf("%s: the caller's query was changed", r.Name)
		}
		signed++
	}
	if signed != 2 {
		t.Errorf("%d requests without a body signed, want 2", signed)
	}
}

func TestAuthorizationVectors(t *testing.T) {
	v, c := loadVectors(t)
	check := func(name string, got []byte, err error, want authorization) {
		t.Helper()
		want.Auth = v.Key + ":" + want.Auth
		expected, _ := json.Marshal(want)
		if err != nil || string(got) != string(expected) {
			t.Errorf("%s: got %s, %v; want %s", name, got, err, expected)
		}
	}
	got, err := c.AuthorizePrivate(v.SocketID, v.Private.Channel)
	check("private", got, err, authorization{Auth: v.Private.Signature})

	got, err = c.AuthorizeUser(v.SocketID, map[string]any{"id": "12345"})
	check("user", got, err, authorization{Auth: v.User.Signature, UserData: v.User.UserData})

	for _, p := range v.Presence {
		got, err = c.AuthorizePresence(v.SocketID, p.Channel, Member{p.UserID, map[string]any{"name": p.Name}})
		check(p.Name, got, err, authorization{Auth: p.Signature, ChannelData: p.ChannelData})
	}

	got, err = c.AuthorizeEncrypted(v.SocketID, v.Encrypted.Channel)
	var answer authorization
	if json.Unmarshal(got, &answer) != nil || err != nil || answer.SharedSecret != v.Encrypted.SharedSecret {
		t.Errorf("encrypted: got %s, %v; want the secret %s", got, err, v.Encrypted.SharedSecret)
	}
}

func TestHostileChannelsAreNotSigned(t *testing.T) {
	v, c := loadVectors(t)
	for _, channel := range v.HostileChannels {
		if got, err := c.AuthorizePrivate(v.SocketID, channel); !errors.Is(err, ErrChannel) || got != nil {
			t.Errorf("private %q: got %s, %v", channel, got, err)
		}
		if got, err := c.AuthorizeEncrypted(v.SocketID, channel); !errors.Is(err, ErrChannel) || got != nil {
			t.Errorf("encrypted %q: got %s, %v", channel, got, err)
		}
		if got, err := c.AuthorizePresence(v.SocketID, channel, Member{UserID: "1"}); !errors.Is(err, ErrChannel) || got != nil {
			t.Errorf("presence %q: got %s, %v", channel, got, err)
		}
	}
}

func TestWebhookVector(t *testing.T) {
	v, c := loadVectors(t)
	header := func(key, signature string) http.Header {
		h := http.Header{}
		h.Set("X-Pusher-Key", key)
		h.Set("X-Pusher-Signature", signature)
		return h
	}
	body := []byte(v.Webhook.Body)
	hook, err := c.Webhook(header(v.Key, v.Webhook.Signature), body)
	if err != nil {
		t.Fatal(err)
	}
	if hook.Time.UnixMilli() != 1327078148132 || len(hook.Events) != 1 ||
		hook.Events[0] != (WebhookEvent{Name: "channel_occupied", Channel: "test_channel"}) {
		t.Errorf("got %+v", hook)
	}
	malformed := []byte(`{"time_ms":"x"`)
	for name, tc := range map[string]struct {
		header http.Header
		body   []byte
		want   error
	}{
		"another key":   {header("other", v.Webhook.Signature), body, ErrWebhookKey},
		"no headers":    {http.Header{}, body, ErrWebhookKey},
		"one byte more": {header(v.Key, v.Webhook.Signature), append(body, ' '), ErrWebhookSignature},
		"no signature":  {header(v.Key, ""), body, ErrWebhookSignature},
		"not hex":       {header(v.Key, "zz"), body, ErrWebhookSignature},
		"a part of it":  {header(v.Key, v.Webhook.Signature[:32]), body, ErrWebhookSignature},
		"not JSON": {header(v.Key, strings.TrimPrefix(c.sign(string(malformed)), v.Key+":")),
			malformed, ErrWebhookBody},
	} {
		if hook, err := c.Webhook(tc.header, tc.body); !errors.Is(err, tc.want) || hook != nil {
			t.Errorf("%s: got %v, %v; want %v", name, hook, err, tc.want)
		}
	}
}
