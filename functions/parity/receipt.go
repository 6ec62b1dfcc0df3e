package parity

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/web"
)

// Receipt is the body of POST /parity: what one page counted in one room since its
// last receipt, while it listened to both Supabase Realtime and Pusher. It holds no
// content, no ids of messages, no times. testdata/receipts has examples.
//
//	{"page":"0198c4a2-7b1e-4c2a-9f57-3d2b8e6a1c40","n":3,"room":"lobby","sent_at":1795379273116,
//	 "both":40,"only_pusher":1,"only_supabase":0,"fetched":1,
//	 "repeats":{"pusher":0,"supabase":0},"flips":{"pusher":0,"supabase":1},
//	 "delays":{"pusher":[0,0,3,12],"supabase":[0,0,0,0,9,31]}}
//
// Rules for the sender:
//
//   - page is a uuid chosen when the page opens; n counts its receipts from 1. A
//     receipt whose answer did not come is sent again as it was, with the same n: a
//     repeat counts nothing. One that was refused (any 4xx) is not.
//   - An event belongs to both, only_pusher or only_supabase once, half a minute after
//     it came by the first of them; events from before both were heard belong nowhere.
//   - Nothing counted, nothing sent: a quiet room wakes nobody.
//   - The answer says how many seconds to wait before the next one, and the share of
//     pages that are to go on: a page draws a number between 0 and 1 when it opens and
//     stops when share falls to it or below.
type Receipt struct {
	Page string `json:"page"`
	N    int64  `json:"n"`
	Room string `json:"room"`
	// SentAt is the page's clock as it sends, in milliseconds since 1970, anew at every
	// try. It shows how far to believe the delays, which that clock has measured.
	SentAt int64 `json:"sent_at"`

	Both         int64 `json:"both"`
	OnlyPusher   int64 `json:"only_pusher"`   // by Pusher, or fetched, and not by Supabase
	OnlySupabase int64 `json:"only_supabase"` // neither by Pusher nor by fetching
	Fetched      int64 `json:"fetched"`       // of what Pusher's side has: came over HTTP

	Repeats Sides `json:"repeats"` // dropped
	Flips   Sides `json:"flips"`   // came before an earlier one
	Delays  struct {
		// Commit to page, without what was fetched: see Edge. Trailing zeros may be left out.
		Pusher   []int64 `json:"pusher"`
		Supabase []int64 `json:"supabase"`
	} `json:"delays"`
}

// Sides is a count for each way.
type Sides struct {
	Pusher   int64 `json:"pusher"`
	Supabase int64 `json:"supabase"`
}

const (
	// maxReceipt bounds a receipt's body in bytes; a full one has 700.
	maxReceipt = 4 << 10
	// maxCount bounds each number: a page sees no more in fifteen minutes.
	maxCount = 1_000_000
	// Buckets is how many a histogram has.
	Buckets = 32
	// maxSkew is how far a page's clock may seem off, its request's way included,
	// before its delays are left out.
	maxSkew = 2 * time.Second
)

// Edge is the upper edge of a histogram's bucket, two buckets to an octave: bucket i
// counts delays above Edge(i-1) and up to Edge(i); bucket 0 all up to a millisecond,
// the last one all above 33 seconds. In a page:
//
//	Math.min(31, Math.ceil(2 * Math.log2(Math.max(1, ms))))
func Edge(bucket int) time.Duration {
	return time.Duration(math.Exp2(float64(bucket)/2) * float64(time.Millisecond))
}

// readReceipt reads and checks a receipt. Its errors are answers that name the field
// at fault.
func readReceipt(w http.ResponseWriter, r *http.Request) (Receipt, error) {
	if err := web.RequireJSON(r); err != nil {
		return Receipt{}, err
	}
	body, err := web.Body(w, r, maxReceipt)
	if err != nil {
		return Receipt{}, err
	}
	return ParseReceipt(body)
}

// ParseReceipt reads a receipt. Keys it does not know are left alone, so that a newer
// page may talk to an older function.
func ParseReceipt(body []byte) (Receipt, error) {
	var r Receipt
	if err := json.Unmarshal(body, &r); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return Receipt{}, web.BadRequest(wrong.Field, "must be of another type than "+wrong.Value)
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
	if _, err := event.ChannelName(event.Private, r.Room); err != nil {
		return web.BadRequest("room", "has no channel: it is empty or too long")
	}
	for _, f := range []struct {
		name string
		n    int64
	}{
		{"both", r.Both}, {"only_pusher", r.OnlyPusher}, {"only_supabase", r.OnlySupabase}, {"fetched", r.Fetched},
		{"repeats.pusher", r.Repeats.Pusher}, {"repeats.supabase", r.Repeats.Supabase},
		{"flips.pusher", r.Flips.Pusher}, {"flips.supabase", r.Flips.Supabase},
	} {
		if f.n < 0 || f.n > maxCount {
			return web.BadRequest(f.name, "must be a count from 0 to 1000000")
		}
	}
	if err := checkHistogram("delays.pusher", r.Delays.Pusher); err != nil {
		return err
	}
	return checkHistogram("delays.supabase", r.Delays.Supabase)
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

// seen is the receipt as the outbox keeps it. Both histograms go when the clock is
// off: half of a comparison is worse than none.
func (r *Receipt) seen(now time.Time) outbox.Seen {
	s := outbox.Seen{
		Both: r.Both, OnlyPusher: r.OnlyPusher, OnlySupabase: r.OnlySupabase, Fetched: r.Fetched,
		PusherRepeats: r.Repeats.Pusher, SupabaseRepeats: r.Repeats.Supabase,
		PusherFlips: r.Flips.Pusher, SupabaseFlips: r.Flips.Supabase,
	}
	if skew := now.Sub(time.UnixMilli(r.SentAt)).Abs(); skew > maxSkew {
		s.Skewed = 1
		return s
	}
	s.PusherDelays, s.SupabaseDelays = r.Delays.Pusher, r.Delays.Supabase
	return s
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
