package parity_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roomcast/functions/parity"
	"roomcast/shared/audit"
	"roomcast/shared/web"
)

func post(t *testing.T, address, bearer, body string) (int, http.Header, string) {
	t.Helper()
	return do(t, "POST", address, body, map[string]string{"Authorization": "Bearer " + bearer, "Content-Type": "application/json"})
}

func do(t *testing.T, method, address, body string, headers map[string]string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(answer)
}

// The examples are the contract with roomcast.js.
func TestExamplesAreReceipts(t *testing.T) {
	files, err := filepath.Glob("testdata/receipts/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parity.ParseReceipt(body); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func example(t *testing.T, sentAt time.Time) string {
	t.Helper()
	body, err := os.ReadFile("testdata/receipts/usual.json")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(body), "1795379273116", fmt.Sprint(sentAt.UnixMilli()), 1)
}

func TestReceiptIsNoted(t *testing.T) {
	store := &fake{outcome: audit.ReceiptNoted}
	status, header, body := post(t, serve(t, store), "member", example(t, now.Add(-time.Second)))
	if status != 200 || body != `{"every":60}`+"\n" || header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", status, header, body)
	}
	want := []audit.Receipt{{UserID: user, Page: page, N: 3, Room: "5ea51de0-0000-4000-8000-000000000010", Seen: audit.Seen{
		Both: 40, OnlyPusher: 1, Fetched: 1, Flips: 1,
		PusherDelays: []int64{0, 0, 0, 0, 0, 0, 2, 9, 21, 8}, SupabaseDelays: []int64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 17, 15, 3}}}}
	if diff := cmp.Diff(want, store.noted); diff != "" {
		t.Errorf("noted (-want +got):\n%s", diff)
	}
	store.outcome = audit.ReceiptRepeat
	if _, _, body := post(t, serve(t, store), "member", example(t, now)); !strings.Contains(body, `"repeat":true`) {
		t.Errorf("a repeat is answered %s", body)
	}
}

// Counts are believed, delays by a clock that is off are not.
func TestClockThatIsOff(t *testing.T) {
	for _, off := range []time.Duration{-3 * time.Second, 3 * time.Second, -1e6 * time.Hour} {
		store := &fake{outcome: audit.ReceiptNoted}
		post(t, serve(t, store), "member", example(t, now.Add(off)))
		if got := store.noted[0].Seen; got.Skewed != 1 || got.PusherDelays != nil || got.SupabaseDelays != nil || got.Both != 40 {
			t.Errorf("%v off: %+v", off, got)
		}
	}
}

func TestReceiptIsRefused(t *testing.T) {
	with := func(key string, value any) string {
		r := map[string]any{"page": page, "n": 1, "room": "lobby", "mode": "both", "until": now.UnixMilli(), "both": 1}
		r[key] = value
		body, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	good := with("n", 1)
	for name, tt := range map[string]struct {
		bearer, body string
		store        *fake
		status       int
		field        string
	}{
		"no token":         {"", good, &fake{}, 401, "Authorization"},
		"the secret":       {secret, good, &fake{}, 401, "Authorization"},
		"another's room":   {"member", with("room", "elsewhere"), &fake{}, 403, ""},
		"no room":          {"member", with("room", ""), &fake{}, 400, "room"},
		"long room":        {"member", with("room", strings.Repeat("x", 200)), &fake{}, 400, "room"},
		"page is no uuid":  {"member", with("page", "me"), &fake{}, 400, "page"},
		"upper case":       {"member", with("page", strings.ToUpper(page)), &fake{}, 400, "page"},
		"n from 0":         {"member", with("n", 0), &fake{}, 400, "n"},
		"another mode":     {"member", with("mode", "pusher"), &fake{}, 400, "mode"},
		"n is text":        {"member", with("n", "1"), &fake{}, 400, "n"},
		"negative":         {"member", with("supabase", -1), &fake{}, 400, "supabase"},
		"huge":             {"member", with("both", 1e7), &fake{}, 400, "both"},
		"beyond int64":     {"member", with("both", 1e30), &fake{}, 400, "both"},
		"33 buckets":       {"member", with("pusherDelays", make([]int, 33)), &fake{}, 400, "pusherDelays"},
		"negative bucket":  {"member", with("supabaseDelays", []int{0, -1}), &fake{}, 400, "supabaseDelays"},
		"negative repeats": {"member", with("pusherRepeats", -1), &fake{}, 400, "pusherRepeats"},
		"half an object":   {"member", good[:20], &fake{}, 400, "body"},
		"a list":           {"member", "[]", &fake{}, 400, "body"},
		"5 kB":             {"member", with("x", strings.Repeat("x", 5000)), &fake{}, 413, "body"},
		"too soon":         {"member", good, &fake{outcome: audit.ReceiptEarly}, 429, "n"},
		"too many pages":   {"member", good, &fake{outcome: audit.ReceiptMany}, 429, "page"},
		"database away":    {"member", good, &fake{err: errors.New("down")}, 503, ""},
	} {
		t.Run(name, func(t *testing.T) {
			status, header, body := post(t, serve(t, tt.store), tt.bearer, tt.body)
			var reply struct{ Error, Field string }
			if err := json.Unmarshal([]byte(body), &reply); err != nil || status != tt.status || reply.Field != tt.field || reply.Error == "" {
				t.Errorf("%d %s", status, body)
			}
			if strings.Contains(reply.Error, "e+30") {
				t.Errorf("the answer, and so the log, has what the page sent: %s", reply.Error)
			}
			if (status == 429 || status == 503) != (header.Get("Retry-After") != "") {
				t.Errorf("status %d with Retry-After %q", status, header.Get("Retry-After"))
			}
			if status < 429 && len(tt.store.noted) > 0 {
				t.Error("noted all the same")
			}
		})
	}
}

func TestForwardOnlyHasNoParity(t *testing.T) {
	address := serve(t, nil)
	if status, _, _ := post(t, address, "member", example(t, now)); status != 404 {
		t.Errorf("POST: %d", status)
	}
	if status, _, _ := do(t, "GET", address, "", map[string]string{"Authorization": "Bearer " + secret}); status != 404 {
		t.Errorf("GET: %d", status)
	}
}

// Receipts may not use up the connections that users wait for: they go in turns, and one
// user's leave a turn to another's.
func TestReceiptsAtOnceAreFew(t *testing.T) {
	store := &fake{outcome: audit.ReceiptNoted, entered: make(chan struct{}, 20), leave: make(chan struct{})}
	address := serve(t, store)
	var all sync.WaitGroup
	send := func(token string, receipts int) {
		for range receipts {
			all.Go(func() {
				if status, _, body := post(t, address, token, example(t, now)); status != 200 {
					t.Errorf("%d %s", status, body)
				}
			})
		}
	}
	send("member", 15)
	<-store.entered
	<-store.entered
	send("another", 5)
	<-store.entered
	select {
	case <-store.entered:
		t.Error("a fourth is at the database")
	case <-time.After(100 * time.Millisecond): // silence has no event to wait for
	}
	close(store.leave)
	all.Wait()
	if len(store.noted) != 20 {
		t.Errorf("%d noted, want 20", len(store.noted))
	}
}

func FuzzParseReceipt(f *testing.F) {
	files, _ := filepath.Glob("testdata/receipts/*.json")
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parity.ParseReceipt(body)
		if err == nil && (r.N < 1 || r.Both < 0 || len(r.PusherDelays) > parity.Buckets || len(r.Page) != 36) {
			t.Errorf("accepted %+v", r)
		}
	})
}

// A room whose id looks like the key of another stream is counted under its own.
func TestReceiptOfARoomThatLooksLikeAKey(t *testing.T) {
	body, err := os.ReadFile("testdata/receipts/least.json")
	if err != nil {
		t.Fatal(err)
	}
	for room, key := range map[string]string{"@general": "@@general", "@@general": "@@@general"} {
		var fields map[string]any
		if err := json.Unmarshal(body, &fields); err != nil {
			t.Fatal(err)
		}
		fields["room"] = room
		text, _ := json.Marshal(fields)
		store := &fake{outcome: audit.ReceiptNoted}
		if w := receive(store, string(text)); w.Code != http.StatusOK || len(store.noted) != 1 || store.noted[0].Room != key {
			t.Errorf("%s: answered %d %s, noted %+v", room, w.Code, w.Body, store.noted)
		}
	}
}

func receive(store *fake, body string) *httptest.ResponseRecorder {
	h := web.Handle(slog.New(slog.DiscardHandler), "receive", parity.New(parity.Config{Reader: reader{}, Store: store}).Receive)
	r := httptest.NewRequest(http.MethodPost, "/parity", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer member")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// FuzzReceive: whatever a page posts is refused, or noted within bounds, as its own.
func FuzzReceive(f *testing.F) {
	f.Add(`{"page":"0198c4a2-7b1e-4c2a-9f57-3d2b8e6a1c40","n":1,"mode":"delivery","until":1,"pushed":3,"delays":[0,3]}`)
	f.Add(`{"page":"0198c4a2-7b1e-4c2a-9f57-3d2b8e6a1c40","n":1,"Mode":"delivery","mode":"both","room":"lobby"}`)
	f.Add(`{"mode":"delivery","pushed":-1,"missing":1e6}`)
	f.Fuzz(func(t *testing.T, body string) {
		store := &fake{}
		w := receive(store, body)
		if noted := len(store.noted) + len(store.told); w.Code >= 500 || noted > 1 || noted == 1 && w.Code != http.StatusOK {
			t.Fatalf("answered %d, %d noted: %s", w.Code, noted, w.Body)
		}
		for _, d := range store.told {
			if d.Pushed < 0 || d.Missing < 0 || d.Pushed > 1_000_000 || len(d.Delays) > parity.Buckets {
				t.Fatalf("noted %+v", d)
			}
		}
	})
}
