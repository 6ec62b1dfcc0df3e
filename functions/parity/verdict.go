package parity

import (
	"fmt"
	"strings"
	"time"

	"roomcast/shared/audit"
)

// Limits are what must be shown before cutting over is called safe.
type Limits struct {
	Hours     int64   `json:"min_hours"`      // hours with receipts
	Messages  int64   `json:"min_messages"`   // committed
	PageHours int64   `json:"min_page_hours"` // pages that watched, times their hours
	Share     float64 `json:"max_share"`      // of what was compared, by the pages of one user
	Lost      int64   `json:"max_lost"`       // seen only by Supabase
	Missing   int64   `json:"max_missing"`    // by the audit: never captured, passed over, or waiting
	Unjudged  int64   `json:"max_unjudged"`   // tables the audit cannot judge
	P95Factor float64 `json:"p95_factor"`     // Pusher's p95 may be Supabase's times this,
	P95Slack  float64 `json:"p95_slack_ms"`   // plus this
}

// defaultLimits ask for a day's traffic without a loss.
func defaultLimits() Limits {
	return Limits{Hours: 24, Messages: 1000, PageHours: 24, Share: 0.5, P95Factor: 1.1, P95Slack: 25}
}

// Verdict is the verdict.
type Verdict struct {
	Safe   bool    `json:"safe"` // to cut over: every check is passed
	Checks []Check `json:"checks"`
}

// Check is one condition.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Want   string `json:"want"`
	Got    string `json:"got"`
	Advice string `json:"advice,omitempty"` // what is missing, or to be done; only where it is not OK
}

// Missing lists what the verdict still wants.
func (g Verdict) Missing() (out []Check) {
	for _, c := range g.Checks {
		if !c.OK {
			out = append(out, c)
		}
	}
	return out
}

// judge makes the verdict over everything else in the report.
func judge(r *Report) Verdict {
	l := r.Limits
	checks := []Check{
		atLeast("Time", "hour with receipts", "hours with receipts", int64(r.HoursWatched), l.Hours, "Let the dual run go on."),
		atLeast("Messages", "message committed", "messages committed", r.Messages, l.Messages, "Let the dual run go on, or give it more rooms."),
		atLeast("Pages", "page-hour watched", "page-hours watched", r.PageHours, l.PageHours, "Let more users listen to both: raise the share of mode “both”."),
		judgeUsers(r),
		{
			Name: "Losses", OK: r.OnlySupabase <= l.Lost, Got: number(r.OnlySupabase) + " seen only by Supabase",
			Want:   atMost(l.Lost),
			Advice: "Roomcast did not bring these. The rooms below are ranked by it; look at the relay’s log for their hours.",
		},
		judgeDelay(r),
		judgeAudit(r),
	}
	g := Verdict{Safe: true, Checks: checks}
	for i := range g.Checks {
		if c := &g.Checks[i]; c.OK {
			c.Advice = ""
		} else {
			g.Safe = false
		}
	}
	return g
}

func atLeast(name, one, many string, got, want int64, advice string) Check {
	unit := many
	if got == 1 {
		unit = one
	}
	return Check{
		Name: name, OK: got >= want, Got: number(got) + " " + unit, Want: "at least " + number(want),
		Advice: "Missing: " + number(max(want-got, 0)) + ". " + advice,
	}
}

func atMost(n int64) string {
	if n == 0 {
		return "none"
	}
	return "at most " + number(n)
}

// judgeUsers asks whether more than one user says so: receipts are the word of the user who
// sends them.
func judgeUsers(r *Report) Check {
	share := 0.0
	if r.Reporters.OfAll > 0 {
		share = float64(r.Reporters.MostOfOne) / float64(r.Reporters.OfAll)
	}
	return Check{
		Name: "Users", OK: share <= r.Limits.Share,
		Got:    fmt.Sprintf("%s users, one of them with %.0f %% of it", number(r.Reporters.Users), 100*share),
		Want:   fmt.Sprintf("at most %.0f %% by one", 100*r.Limits.Share),
		Advice: "Most of this is one user's word. Let more users listen to both.",
	}
}

func judgeDelay(r *Report) Check {
	limit := r.Supabase.P95*r.Limits.P95Factor + r.Limits.P95Slack
	c := Check{
		Name: "Delay", OK: r.Pusher.Count > 0 && r.Supabase.Count > 0 && r.Pusher.P95 <= limit,
		Got:    fmt.Sprintf("p95 %s, Supabase %s", millis(r.Pusher.P95), millis(r.Supabase.P95)),
		Want:   "p95 at most " + millis(limit),
		Advice: "Look at commit_to_accept_seconds in the metrics: a region far from the database, or Pusher in trouble.",
	}
	if r.Pusher.Count == 0 || r.Supabase.Count == 0 {
		c.Got, c.Want = "not measured on both sides", "a p95 of both"
		c.Advice = "No receipt with delays of both has come yet, or the pages’ clocks are off."
	}
	return c
}

// judgeAudit asks for what the audit counts as lost or late. Holes, parked and unroutable
// rows are shown and do not count: clients pass over or fetch those.
func judgeAudit(r *Report) Check {
	c := Check{Name: "Audit", Want: atMost(r.Limits.Missing)}
	if r.Audit == nil {
		c.Got = "did not end in time"
		c.Advice = "Run it by hand: select * from roomcast.audit('1 hour'); an index on the messages’ time helps."
		return c
	}
	var counts int64
	var unjudged []string
	for _, f := range r.Audit {
		switch {
		case f.Count == nil:
			unjudged = append(unjudged, f.Table)
		case f.Problem == "missing", f.Problem == "unnumbered", f.Problem == "waiting":
			counts += *f.Count
		}
	}
	c.Got = number(counts) + " missing or waiting"
	c.OK = counts <= r.Limits.Missing && int64(len(unjudged)) <= r.Limits.Unjudged
	c.Advice = "See the audit below for what to do."
	if counts <= r.Limits.Missing && len(unjudged) > 0 {
		c.Got += "; not judged: " + strings.Join(unjudged, ", ")
		c.Advice = "Name the column that says when a row was written: select roomcast.auditing('" + unjudged[0] + "', 'sent_at');"
	}
	return c
}

// remedy says what to do about each of the audit's problems.
func remedy(f audit.Finding) string {
	if f.Count == nil {
		return f.Note // says why, and what would change it
	}
	if *f.Count == 0 {
		return ""
	}
	switch f.Problem {
	case "missing":
		return "Was a trigger disabled, or an import made that should have been quiet? To send them: select * from roomcast.repair();"
	case "unnumbered":
		return "select * from roomcast.repair();"
	case "waiting":
		return "Is the relay running, and Pusher answering? go run ./infra/ops doctor"
	case "holes":
		return "Somebody deleted rows of roomcast.outbox. Clients pass over their numbers."
	case "parked":
		return "Too large for Pusher, or refused by it; clients fetch them. select * from roomcast.parked;"
	case "unroutable":
		return "Rows without a room go nowhere."
	}
	return ""
}

// number writes 12345 as 12,345.
func number(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// millis writes a delay with two or three digits that mean something.
func millis(v float64) string {
	switch {
	case v <= 0:
		return "–"
	case v < 10:
		return fmt.Sprintf("%.1f ms", v)
	case v < 995:
		return fmt.Sprintf("%.0f ms", v)
	case v < 9950:
		return fmt.Sprintf("%.2f s", v/1000)
	}
	return fmt.Sprintf("%.0f s", v/1000)
}

func when(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04") }
