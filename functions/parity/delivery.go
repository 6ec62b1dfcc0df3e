package parity

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"roomcast/shared/audit"
	"roomcast/shared/web"
)

// After the move a sample of the pages goes on reporting, not what two sides brought but
// how messages come: POST /parity with "mode":"delivery".

// Delivery is the body of such a receipt: what one page, in all its rooms, has shown since
// its last one. It names no room and no message.
//
//	{"page":"0198c4a2-7b1e-4c2a-9f57-3d2b8e6a1c40","n":3,"mode":"delivery","until":1795379273116,
//	 "pushed":40,"gap":1,"reconnect":0,"polled":0,"supabase":0,
//	 "latePushed":1,"lateGap":0,"lateReconnect":0,"latePolled":0,"lateSupabase":0,
//	 "void":0,"missing":0,"window":0,"delays":[0,0,3,12]}
//
// Rules for the sender: page and n as in [Receipt]; only new messages count, each once,
// when it is shown, by the way it came first. delays are from roomcast.at to the screen,
// of those that were shown while the page was in front.
//
// Besides, numbers of any kind of event that came by no way: void, where the history has
// nothing under them; missing, where two minutes after a later number they had not come
// (what comes of them still counts, too); window, where they were kept no more when the
// page was back, which then loaded its table. Of window a thousand count.
type Delivery struct {
	Page  string `json:"page"`
	N     int64  `json:"n"`
	Until int64  `json:"until"` // the page's clock, ms since 1970

	Pushed        int64   `json:"pushed"`
	Gap           int64   `json:"gap"`
	Reconnect     int64   `json:"reconnect"`
	Polled        int64   `json:"polled"`
	Supabase      int64   `json:"supabase"`
	LatePushed    int64   `json:"latePushed"` // of these; more than four seconds, as delays counts them
	LateGap       int64   `json:"lateGap"`
	LateReconnect int64   `json:"lateReconnect"`
	LatePolled    int64   `json:"latePolled"`
	LateSupabase  int64   `json:"lateSupabase"`
	Void          int64   `json:"void"`
	Missing       int64   `json:"missing"`
	Window        int64   `json:"window"`
	Delays        []int64 `json:"delays"` // see Edge; trailing zeros may be left out
}

const modeDelivery = "delivery"

// lateBucket is the first bucket whose messages count as late: more than four seconds.
const lateBucket = 25

func (d *Delivery) check() error {
	if !isUUID(d.Page) {
		return web.BadRequest("page", "must be a uuid in lower case")
	}
	if d.N < 1 {
		return web.BadRequest("n", "must count from 1")
	}
	for name, n := range map[string]int64{
		"pushed": d.Pushed, "gap": d.Gap, "reconnect": d.Reconnect, "polled": d.Polled, "supabase": d.Supabase,
		"latePushed": d.LatePushed, "lateGap": d.LateGap, "lateReconnect": d.LateReconnect, "latePolled": d.LatePolled, "lateSupabase": d.LateSupabase,
		"void": d.Void, "missing": d.Missing, "window": d.Window,
	} {
		if n < 0 || n > maxCount {
			return web.BadRequest(name, "must be a count from 0 to 1000000")
		}
	}
	return checkHistogram("delays", d.Delays)
}

// maxWindow is how many numbers that are kept no more count: a page that was away for days
// tells of more than the messages of an hour, which its user may report in all.
const maxWindow = 1000

// delivered is the receipt as the database keeps it, without delays that cannot be right.
func (d *Delivery) delivered(now time.Time) audit.Delivered {
	out := audit.Delivered{
		Pushed: d.Pushed, Gap: d.Gap, Reconnect: d.Reconnect, Polled: d.Polled, Supabase: d.Supabase,
		Void: d.Void, Missing: d.Missing, Window: min(d.Window, maxWindow),
	}
	ways := []int64{d.LatePushed, d.LateGap, d.LateReconnect, d.LatePolled, d.LateSupabase}
	if now.Sub(time.UnixMilli(d.Until)).Abs() > maxSkew || sum(d.Delays) > out.Messages() || sum(ways) > late(d.Delays) {
		out.Skewed = 1
		return out
	}
	out.Delays = d.Delays
	out.LatePushed, out.LateGap, out.LateReconnect, out.LatePolled, out.LateSupabase = ways[0], ways[1], ways[2], ways[3], ways[4]
	return out
}

// receiveDelivery notes a delivery receipt of the caller.
func (h *Handler) receiveDelivery(w http.ResponseWriter, r *http.Request, body []byte) error {
	var d Delivery
	if err := json.Unmarshal(body, &d); err != nil {
		return web.BadRequest("body", "is not a receipt in JSON")
	}
	if err := d.check(); err != nil {
		return err
	}
	user, err := h.reader.Caller(r)
	if err != nil {
		return err
	}
	return h.note(w, r, user, func(ctx context.Context, now time.Time) (string, error) {
		delivered := d.delivered(now)
		outcome, err := h.store.NoteDelivery(ctx, user, d.Page, d.N, delivered)
		if err == nil && outcome == audit.ReceiptNoted && h.observe != nil {
			h.observe(delivered)
		}
		return outcome, err
	})
}

func late(delays []int64) int64 {
	if len(delays) <= lateBucket {
		return 0
	}
	return sum(delays[lateBucket:])
}

// DeliveryReport is how messages reached pages in a window.
type DeliveryReport struct {
	At       time.Time      `json:"at"`
	From     time.Time      `json:"from"`
	Users    int64          `json:"users"` // whose pages told
	Receipts int64          `json:"receipts"`
	Total    Arrived        `json:"total"`
	ByHour   []ArrivedHour  `json:"by_hour"` // those with a receipt, in order
	Limits   DeliveryLimits `json:"limits"`
}

// Arrived sums up messages and how they came.
type Arrived struct {
	Messages  int64  `json:"messages"`
	Pushed    int64  `json:"pushed"`
	Gap       int64  `json:"gap"`
	Reconnect int64  `json:"reconnect"`
	Polled    int64  `json:"polled"`
	Supabase  int64  `json:"supabase"`
	Void      int64  `json:"void"`    // numbers under which the history has nothing
	Missing   int64  `json:"missing"` // numbers that had not come two minutes after a later one
	Window    int64  `json:"window"`  // numbers that were kept no more
	Late      int64  `json:"late"`    // messages, more than four seconds after the commit
	LateBy    LateBy `json:"late_by"`
	Delay     Delays `json:"delay"`
}

// LateBy is how many of those that came by each way were late.
type LateBy struct {
	Pushed    int64 `json:"pushed"`
	Gap       int64 `json:"gap"`
	Reconnect int64 `json:"reconnect"`
	Polled    int64 `json:"polled"`
	Supabase  int64 `json:"supabase"`
}

// ArrivedHour is one hour of it.
type ArrivedHour struct {
	Start time.Time `json:"start"`
	Arrived
}

// DeliveryLimits are what is called good: at most one message in so many is late or missing.
type DeliveryLimits struct {
	LateOneIn int64 `json:"late_one_in"`
}

// CompileDelivery makes the report of the last hours.
func CompileDelivery(ctx context.Context, from deliverySource, hours int, now time.Time) (*DeliveryReport, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	since := now.UTC().Truncate(time.Hour).Add(-time.Duration(hours-1) * time.Hour)
	found, err := from.Deliveries(ctx, since)
	if err != nil {
		return nil, fmt.Errorf("delivery report: %w", err)
	}
	r := &DeliveryReport{At: now.UTC(), From: since, Users: found.Users, ByHour: []ArrivedHour{}, Limits: DeliveryLimits{LateOneIn: 1000}}
	var all audit.Delivered
	for _, hour := range found.Hours {
		r.Receipts += hour.Receipts
		r.ByHour = append(r.ByHour, ArrivedHour{hour.Hour, arrived(hour.Delivered)})
		delays := addCounts(all.Delays, hour.Delays)
		all = all.Plus(hour.Delivered)
		all.Delays = delays
	}
	r.Total = arrived(all)
	return r, nil
}

func arrived(d audit.Delivered) Arrived {
	return Arrived{
		Messages: d.Messages(), Pushed: d.Pushed, Gap: d.Gap, Reconnect: d.Reconnect, Polled: d.Polled, Supabase: d.Supabase,
		Void: d.Void, Missing: d.Missing, Window: d.Window, Late: late(d.Delays),
		LateBy: LateBy{d.LatePushed, d.LateGap, d.LateReconnect, d.LatePolled, d.LateSupabase}, Delay: newDelays(d.Delays),
	}
}

// Title says whether few enough messages were late, or did not come.
func (r *DeliveryReport) Title() (text string, good bool) {
	switch {
	case r.Total.Messages+r.Total.Missing == 0:
		return "No page has told of a message", true
	case r.Total.Missing*r.Limits.LateOneIn > r.Total.Messages:
		return "Messages do not come", false
	case r.Total.Late*r.Limits.LateOneIn > r.Total.Delay.Count:
		return "Messages come late", false
	}
	return "Messages arrive", true
}

// WriteText writes the report for a terminal.
func (r *DeliveryReport) WriteText(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	title, _ := r.Title()
	fmt.Fprintf(w, "%s: %s to %s UTC, by %s receipts of %s users\n\n", title, when(r.From), when(r.At), number(r.Receipts), number(r.Users))
	fmt.Fprint(w, "hour\tmessages\tp50\tp95\tp99\tlate\tpushed\tgap\treconnect\tpolled\tby Supabase\tmissing\tvoid\twindow\t\n")
	row := func(name string, a Arrived) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", name, number(a.Messages), millis(a.Delay.P50), millis(a.Delay.P95), millis(a.Delay.P99),
			number(a.Late), number(a.Pushed), number(a.Gap), number(a.Reconnect), number(a.Polled), number(a.Supabase), number(a.Missing), number(a.Void), number(a.Window))
	}
	for _, hour := range r.ByHour {
		row(hour.Start.UTC().Format("2 Jan 15:00"), hour.Arrived)
	}
	row("all", r.Total)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if _, err := io.WriteString(to, r.Total.causes()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// causes says why messages were late and numbers came by no way, a line each.
func (a Arrived) causes() string {
	var out strings.Builder
	for _, c := range []struct {
		n    int64
		text string
	}{
		{a.LateBy.Pushed, "late and pushed: the relay or Pusher was slow (roomcast_commit_to_accept_seconds), or the page's network"},
		{a.LateBy.Gap, "late and fetched after a gap: Pusher did not bring them"},
		{a.LateBy.Reconnect, "late and fetched after a reconnect: the page's connection was cut"},
		{a.LateBy.Polled, "late and polled: Pusher was away or refused, see ops status"},
		{a.LateBy.Supabase, "late by Supabase, in Pusher's place"},
		{a.Missing, "numbers missing: the function did not tell of them within two minutes"},
		{a.Void, "numbers void: their rows were deleted by hand, or are not for that user; ops inspect ROOM shows them"},
		{a.Window, "numbers kept no more when a page was back: it loaded its table; configure(retention => ...) keeps them longer"},
	} {
		if c.n > 0 {
			fmt.Fprintf(&out, "\n%s %s", number(c.n), c.text)
		}
	}
	if out.Len() > 0 {
		out.WriteByte('\n')
	}
	return out.String()
}
