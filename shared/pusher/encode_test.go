package pusher

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	gopusher "github.com/pusher/pusher-http-go/v5"
)

// heard is what a server gets of one request.
type heard struct {
	method, path, query, contentType string
	body                             []byte
}

// hearer is a client whose last request ends in the returned value.
func hearer(t testing.TB) (*Client, *heard) {
	var last heard
	c := against(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		last = heard{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Content-Type"), body}
	})
	return c, &last
}

// pieces are what is likely to be escaped wrongly, and what is not escaped at all.
var pieces = []string{`"`, `\`, "<", ">", "&", "\b", "\f", "\n", "\r", "\t", "\x00", "\x1f", " ", "\x7f", "\u0080", "é",
	"\u2027", "\u2028", "\u2029", "\u202a", "\ufffd", "😀", "{}", `\u2028`, "plain text", "\xe2\x80\xaf", "/"}

func randomText(r *rand.Rand, most int) string {
	var out strings.Builder
	for range r.IntN(most + 1) {
		if r.IntN(3) == 0 {
			out.WriteRune(rune(r.IntN(utf8.MaxRune)))
		} else {
			out.WriteString(pieces[r.IntN(len(pieces))])
		}
	}
	return strings.ToValidUTF8(out.String(), "?")
}

// Method, path, query (so the body's MD5 and the signature) and every byte of the body are
// those of pusher-http-go, whatever the events.
func TestBatchesAreTheLibrarysByteForByte(t *testing.T) {
	c, got := hearer(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var events []Event
		var theirs []gopusher.Event
		for range 1 + r.IntN(MaxBatch) {
			e := Event{Channel: "private-room-" + strconv.Itoa(r.IntN(1000)) + "_-=@,.;A", Name: "n" + randomText(r, 10), Data: []byte(randomText(r, 200))}
			events = append(events, e)
			theirs = append(theirs, gopusher.Event{Channel: e.Channel, Name: e.Name, Data: e.Data})
		}
		if err := c.send(t.Context(), "oracle", func(lib *gopusher.Client) error {
			_, err := lib.TriggerBatch(theirs)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		want := *got
		query, err := url.ParseQuery(want.query)
		if err != nil {
			t.Fatal(err)
		}
		at, err := strconv.ParseInt(query.Get("auth_timestamp"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c.cfg.Now = func() time.Time { return time.Unix(at, 0) }
		if err := c.PublishBatch(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.body, want.body) {
			t.Fatalf("body\n%s\nwant\n%s", got.body, want.body)
		}
		got.body, want.body = nil, nil
		if got.method+got.path+got.query+got.contentType != want.method+want.path+want.query+want.contentType {
			t.Fatalf("%+v\nwant\n%+v", *got, want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, p := range pieces {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			t.Skip("refused by checkEvent")
		}
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendString(nil, s); !bytes.Equal(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// Beside each other: ours, and pusher-http-go over the same connections.
func BenchmarkPublishBatch(b *testing.B) {
	data := []byte(`{"id":"6f1e4c5e-0000-4000-8000-000000000001","room_id":"6f1e4c5e-0000-4000-8000-000000000002","content":"` + strings.Repeat("x", 100) + `"}`)
	for _, bench := range []struct{ name, channel string }{
		{"ours", "private-room-1"}, {"library", "private-room-1"}, {"sealed", "private-encrypted-room-1"},
	} {
		batch := slices.Repeat([]Event{{Channel: bench.channel, Name: "new-message", Data: data}}, MaxBatch)
		b.Run(bench.name, func(b *testing.B) {
			c := against(b, nil)
			c.wire = &counting{}
			b.ReportAllocs()
			for b.Loop() {
				call := c.PublishBatch
				if bench.name == "library" {
					call = func(ctx context.Context, events []Event) error { return c.publishSealed(ctx, "library", events) }
				}
				if err := call(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// counting is a wire that takes every request and sends none: what is measured is the writing.
type counting struct{ bytes int }

func (c *counting) exchange(_ context.Context, request []byte) (answer, error) {
	c.bytes += len(request)
	return answer{status: 200}, nil
}

func (c *counting) closeIdle() {}
