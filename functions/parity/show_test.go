package parity_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"roomcast/functions/parity"
	"roomcast/shared/audit"
)

func TestOnlyTheOperatorReads(t *testing.T) {
	address := serve(t, week())
	for name, tt := range map[string]struct {
		set    func(h map[string]string)
		status int
	}{
		"bearer":              {func(h map[string]string) { h["Authorization"] = "Bearer " + secret }, 200},
		"while rotating":      {func(h map[string]string) { h["Authorization"] = "Bearer an-older-secret" }, 200},
		"basic":               {func(h map[string]string) { h["Authorization"] = basic("anybody", secret) }, 200},
		"basic, no name":      {func(h map[string]string) { h["Authorization"] = basic("", secret) }, 200},
		"nothing":             {func(map[string]string) {}, 401},
		"a member":            {func(h map[string]string) { h["Authorization"] = "Bearer member" }, 401},
		"empty":               {func(h map[string]string) { h["Authorization"] = "Bearer " }, 401},
		"basic, empty":        {func(h map[string]string) { h["Authorization"] = basic("x", "") }, 401},
		"secret as the name":  {func(h map[string]string) { h["Authorization"] = basic(secret, "") }, 401},
		"secret, another way": {func(h map[string]string) { h["Authorization"] = "Digest " + secret }, 401},
	} {
		headers := map[string]string{}
		tt.set(headers)
		status, header, body := do(t, "GET", address, "", headers)
		if status != tt.status || status == 401 && !strings.HasPrefix(header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: %d %v", name, status, header)
		}
		if status == 401 && strings.Contains(body, "messages") {
			t.Errorf("%s: the refusal tells %s", name, body)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Authorization"] = []string{basic("anybody", secret), basic("anybody", secret)}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != 401 {
		t.Errorf("two headers: %d", answer.StatusCode)
	}
	if status, _, _ := do(t, "GET", address+"?secret="+secret, "", nil); status != 401 {
		t.Errorf("a secret in the URL opens it: %d", status)
	}
}

func TestFormats(t *testing.T) {
	address := serve(t, week())
	for _, tt := range []struct{ query, accept, want string }{
		{"", "", "application/json"},
		{"", "*/*", "application/json"},
		{"", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"},
		{"", "text/plain", "text/plain; charset=utf-8"},
		{"?format=json", "text/html", "application/json"},
		{"?format=html", "", "text/html; charset=utf-8"},
		{"?format=text", "", "text/plain; charset=utf-8"},
	} {
		_, header, _ := do(t, "GET", address+tt.query, "", map[string]string{"Authorization": "Bearer " + secret, "Accept": tt.accept})
		policy := header.Get("Content-Security-Policy")
		if header.Get("Content-Type") != tt.want || header.Get("Vary") != "Accept" || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%+v: %v", tt, header)
		}
		if strings.Contains(policy, "style-src 'sha256-") != strings.HasPrefix(tt.want, "text/html") ||
			!strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe") {
			t.Errorf("%+v: %s", tt, policy)
		}
	}
}

func TestQueriesThatCannotBeMeant(t *testing.T) {
	address := serve(t, week())
	for query, field := range map[string]string{
		"hours=0": "hours", "hours=337": "hours", "hours=x": "hours", "min_messages=-1": "min_messages", "p95_factor=NaN": "p95_factor",
		"p95_factor=-1": "p95_factor", "min_mesages=5": "min_mesages", "max_lost=1&max_lost=2": "max_lost", "rooms=501": "rooms",
		"format=pdf": "format", "%zz": "query", "min_hours=1e3": "min_hours",
	} {
		status, _, body := do(t, "GET", address+"?"+query, "", map[string]string{"Authorization": "Bearer " + secret})
		var reply struct{ Field string }
		if err := json.Unmarshal([]byte(body), &reply); err != nil || status != 400 || reply.Field != field {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}

func compile(t *testing.T, from *fake, query string) *parity.Report {
	t.Helper()
	ask, err := parity.ParseAsk(query)
	if err != nil {
		t.Fatal(err)
	}
	r, err := parity.Compile(t.Context(), from, ask, now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReportAddsUp(t *testing.T) {
	store := week()
	r := compile(t, store, "")
	if want := time.Date(2026, 11, 15, 21, 0, 0, 0, time.UTC); !r.From.Equal(want) || !store.since.Equal(want) {
		t.Errorf("from %v, asked %v", r.From, store.since)
	}
	if len(r.ByHour) != 168 || !r.ByHour[167].Start.Equal(now.Truncate(time.Hour)) || !r.ByHour[167].Watched {
		t.Errorf("%d hours, the last %+v", len(r.ByHour), r.ByHour[len(r.ByHour)-1])
	}
	var sum int64
	for _, h := range r.ByHour {
		sum += h.Compared
	}
	if sum != r.Compared || r.Compared != r.Both+r.OnlyPusher+r.OnlySupabase || r.OnlyPusher == 0 || r.HoursWatched != 168 {
		t.Errorf("sum %d, %+v", sum, r)
	}
	// An hour without anything is there, and empty.
	store.parity.Hours = store.parity.Hours[160:]
	if r := compile(t, store, "hours=24"); len(r.ByHour) != 24 || r.ByHour[3].Compared != 0 || r.HoursWatched != 8 {
		t.Errorf("a short time: %d hours, %d watched", len(r.ByHour), r.HoursWatched)
	}
}

// Each check fails by itself, says what is missing, and can be set.
func TestEachCheckOfTheVerdict(t *testing.T) {
	if g := compile(t, week(), "").Verdict; !g.Safe || len(g.Missing()) != 0 || len(g.Checks) != 7 {
		t.Fatalf("a good week: %+v", g)
	}
	for name, tt := range map[string]struct {
		change         func(*fake)
		check, allowed string
	}{
		"short": {func(f *fake) {
			f.parity.Hours = f.parity.Hours[148:]
			each(f, func(c *audit.Cell) { c.Committed = 100 })
		}, "Time", "min_hours=20"},
		"few messages":   {func(f *fake) { each(f, func(c *audit.Cell) { c.Committed = 1 }) }, "Messages", "min_messages=168"},
		"few pages":      {func(f *fake) { each(f, func(c *audit.Cell) { c.Pages = 0 }) }, "Pages", "min_page_hours=0"},
		"one's word":     {func(f *fake) { f.parity.MostOfOne, f.parity.OfAll = 51, 100 }, "Users", "max_share=0.6"},
		"one lost":       {func(f *fake) { f.parity.Hours[3].OnlySupabase = 1 }, "Losses", "max_lost=1"},
		"slower":         {func(f *fake) { each(f, func(c *audit.Cell) { c.PusherDelays = around(500, 900, 1.6) }) }, "Delay", "p95_factor=6"},
		"not timed":      {func(f *fake) { each(f, func(c *audit.Cell) { c.SupabaseDelays = nil }) }, "Delay", ""},
		"missing":        {func(f *fake) { f.findings[0] = count("missing", "public.messages", 2) }, "Audit", "max_missing=2"},
		"waiting":        {func(f *fake) { f.findings[2] = count("waiting", "", 1) }, "Audit", "max_missing=1"},
		"parked is fine": {func(f *fake) { f.findings[4] = count("parked", "", 9) }, "", ""},
		"not judged":     {func(f *fake) { f.findings[0].Count = nil }, "Audit", "max_unjudged=1"},
		"audit too long": {func(f *fake) { f.findings, f.auditErr = nil, audit.ErrTooLong }, "Audit", ""},
	} {
		t.Run(name, func(t *testing.T) {
			store := week()
			tt.change(store)
			missing := compile(t, store, "").Verdict.Missing()
			switch {
			case tt.check == "" && len(missing) == 0:
			case len(missing) != 1 || missing[0].Name != tt.check || missing[0].Advice == "":
				t.Errorf("missing %+v", missing)
			}
			if g := compile(t, store, tt.allowed).Verdict; tt.allowed != "" && !g.Safe {
				t.Errorf("with %s still missing: %+v", tt.allowed, g.Missing())
			}
		})
	}
}

func each(f *fake, change func(*audit.Cell)) {
	for i := range f.parity.Hours {
		change(&f.parity.Hours[i])
	}
}

func TestEvidenceThatCannotBeRead(t *testing.T) {
	store := week()
	store.err = errors.New("down")
	status, header, _ := do(t, "GET", serve(t, store), "", map[string]string{"Authorization": "Bearer " + secret})
	if status != 503 || header.Get("Retry-After") == "" {
		t.Errorf("%d %v", status, header)
	}
	store.err, store.auditErr = nil, context.DeadlineExceeded // not the audit's own limit
	if _, err := parity.Compile(t.Context(), store, parity.DefaultAsk(), now); err == nil {
		t.Error("an audit that failed passes for one that took too long")
	}
}

func TestJSONKeepsItsNames(t *testing.T) {
	_, _, body := do(t, "GET", serve(t, badWeek()), "", map[string]string{"Authorization": "Bearer " + secret})
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"at", "from", "messages", "compared", "both", "only_pusher", "only_supabase", "fetched",
		"repeats", "flips", "pusher", "supabase", "by_hour", "rooms", "audit", "limits", "verdict"} {
		if _, ok := got[name]; !ok {
			t.Errorf("no %q", name)
		}
	}
}

func TestTextFitsATerminal(t *testing.T) {
	var out strings.Builder
	if err := compile(t, badWeek(), "").WriteText(&out); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
	for _, want := range []string{"NOT YET", "NO  Losses", "roomcast.repair()", "only Supabase"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	out.Reset()
	if err := compile(t, week(), "").WriteText(&out); err != nil || !strings.HasPrefix(out.String(), "SAFE TO CUT OVER") {
		t.Errorf("%v: %s", err, out.String())
	}
}

func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}
