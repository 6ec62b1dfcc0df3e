package parity

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"roomcast/shared/audit"
	"roomcast/shared/event"
	"roomcast/shared/web"
)

// Receipt is the body of POST /parity: what one page counted in one room since its
// last receipt, while it listened to both Supabase Realtime and Pusher. It holds no
// content and no ids of messages. shared/browser/receipts.js is the sender;
// testdata/receipts has examples.
//
//	{"page":"0198c4a2-7b1e-4c2a-9f57-3d2b8e6a1c40","n":3,"room":"lobby","mode":"both",
//	 "until":1795379273116,"both":40,"pusher":1,"supabase":0,"fetched":1,
//	 "pusherRepeats":0,"supabaseRepeats":0,"flips":1,
//	 "pusherDelays":[0,0,3,12],"supabaseDelays":[0,0,0,0,9,31]}
//
// Rules for the sender:
//
//   - page is a uuid for this room of this page; n counts its receipts from 1.
//     A receipt whose answer did not come may be sent again as it was, with the same n:
//     a repeat counts nothing. One that was refused is not.
//   - Only new messages count. Edits, deletions and members are not for both sides to
//     bring in every case: see receipts.js.
//   - A message belongs to both, pusher or supabase once, half a minute after it came by
//     the first of them; messages from before both were heard belong nowhere.
//   - Nothing counted, nothing sent: a quiet room wakes nobody.
//   - The answer says how many seconds to wait before the next one. Counting goes on
//     meanwhile.
type Receipt struct {
	Page string `json:"page"`
	N    int64  `json:"n"`
	Room string `json:"room"`
	Mode string `json:"mode"` // always "both"
	// Until is the page's clock as it sends, in milliseconds since 1970. It shows how
	// far to believe the delays, which that clock has measured. A repeat is measured by
	// it, too: its delays may be left out.
	Until int64 `json:"until"`

	Both     int64 `json:"both"`
	Pusher   int64 `json:"pusher"`   // by Pusher, or fetched, and not by Supabase
	Supabase int64 `json:"supabase"` // neither by Pusher nor by fetching
	Fetched  int64 `json:"fetched"`  // of what Pusher's side has: came over HTTP

	PusherRepeats   int64 `json:"pusherRepeats"` // dropped
	SupabaseRepeats int64 `json:"supabaseRepeats"`
	Flips           int64 `json:"flips"` // pairs that the two brought in different orders

	// Commit to page, without what was fetched: see Edge. Trailing zeros may be left out.
	PusherDelays   []int64 `json:"pusherDelays"`
	SupabaseDelays []int64 `json:"supabaseDelays"`
}

// Sides is a count for each way.
type Sides struct {
	Pusher   int64 `json:"pusher"`
	Supabase int64 `json:"supabase"`
}

const (
	// maxReceipt bounds a receipt's body in bytes; a full one has 700.
	maxReceipt = 4 << 10
	// maxCount bounds each number: a page sees no more in an hour.
	maxCount = 1_000_000
	// maxSkew is how far a page's clock may seem off, its request's way included,
	// before its delays are left out.
	maxSkew = 2 * time.Second
)

// readReceipt reads a receipt's body.
func readReceipt(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// A page's fetch() of a string says text/plain by itself; the token, not the type,
	// keeps other sites' forms out.
	if err := web.RequireType(r, "application/json", "text/plain"); err != nil {
		return nil, err
	}
	return web.Body(w, r, maxReceipt)
}

// ParseReceipt reads a receipt. Keys it does not know are left alone, so that a newer
// page may talk to an older function.
func ParseReceipt(body []byte) (Receipt, error) {
	var r Receipt
	if err := json.Unmarshal(body, &r); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			found, _, _ := strings.Cut(wrong.Value, " ") // behind "number" the number, which is the caller's
			return Receipt{}, web.BadRequest(wrong.Field, "must be of another type than "+found)
		}
		return Receipt{}, web.BadRequest("body", "is not a receipt in JSON")
	}
	return r, r.check()
}

func (r *Receipt) check() error {
	if !isUUID(r.Page) {
		return web.BadRequest("page", "must be a uuid in lower case")
	}
	if r.N < 1 {
		return web.BadRequest("n", "must count from 1")
	}
	if r.Mode != "both" {
		return web.BadRequest("mode", "must be both: there is nothing to compare in another")
	}
	if _, err := event.ChannelName(event.Private, event.RoomKey(r.Room)); err != nil {
		return web.BadRequest("room", "has no channel: it is empty or too long")
	}
	for _, f := range []struct {
		name string
		n    int64
	}{
		{"both", r.Both}, {"pusher", r.Pusher}, {"supabase", r.Supabase}, {"fetched", r.Fetched},
		{"pusherRepeats", r.PusherRepeats}, {"supabaseRepeats", r.SupabaseRepeats}, {"flips", r.Flips},
	} {
		if f.n < 0 || f.n > maxCount {
			return web.BadRequest(f.name, "must be a count from 0 to 1000000")
		}
	}
	if err := checkHistogram("pusherDelays", r.PusherDelays); err != nil {
		return err
	}
	return checkHistogram("supabaseDelays", r.SupabaseDelays)
}

func checkHistogram(field string, h []int64) error {
	if len(h) > Buckets {
		return web.BadRequest(field, "has more than 32 buckets")
	}
	for _, n := range h {
		if n < 0 || n > maxCount {
			return web.BadRequest(field, "must be counts from 0 to 1000000")
		}
	}
	return nil
}

// seen is the receipt as the outbox keeps it. Both histograms go when the clock is off, or
// when they time more messages than were counted: half of a comparison is worse than none.
func (r *Receipt) seen(now time.Time) audit.Seen {
	s := audit.Seen{
		Both: r.Both, OnlyPusher: r.Pusher, OnlySupabase: r.Supabase, Fetched: r.Fetched,
		PusherRepeats: r.PusherRepeats, SupabaseRepeats: r.SupabaseRepeats, Flips: r.Flips,
	}
	skew := now.Sub(time.UnixMilli(r.Until)).Abs()
	if skew > maxSkew || sum(r.PusherDelays) > r.Both+r.Pusher || sum(r.SupabaseDelays) > r.Both+r.Supabase {
		s.Skewed = 1
		return s
	}
	s.PusherDelays, s.SupabaseDelays = r.PusherDelays, r.SupabaseDelays
	return s
}

func sum(counts []int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// isUUID accepts the form that crypto.randomUUID writes.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (s[i] == '-') ||
			!dash && !strings.Contains("0123456789abcdef", s[i:i+1]) {
			return false
		}
	}
	return true
}
