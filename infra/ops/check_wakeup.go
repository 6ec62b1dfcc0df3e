package main

import (
	"bytes"
	"context"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"roomcast/shared/outbox"
)

const (
	webhookPath = "/webhooks/supabase"
	wakeupBody  = `{"type":"WAKEUP","schema":"roomcast","table":"outbox","record":null,"old_record":null}`

	coldStart  = 2 * time.Second // what a stopped machine may take to answer, and some more
	slowWakeup = time.Second     // an awake function answers in milliseconds
)

// wakeup is where the database sends its wake-up webhook.
type wakeup struct {
	url, secret string
	timeout     time.Duration // pg_net's patience
	pgNet       bool
	silent      bool // configure() was called in the database that this one is a copy of
}

// checkWakeupSettings reads what configure() was told.
func (d *doctor) checkWakeupSettings(ctx context.Context, f *findings) error {
	var ms int64
	err := d.conn.QueryRow(ctx, `select coalesce(url, ''), coalesce(roomcast.wakeup_secret(), ''), timeout_ms, roomcast.has_pg_net(), home is distinct from roomcast.home() from roomcast.settings`).
		Scan(&d.wakeup.url, &d.wakeup.secret, &ms, &d.wakeup.pgNet, &d.wakeup.silent)
	if err != nil {
		return err
	}
	d.wakeup.timeout = time.Duration(ms) * time.Millisecond
	before := len(*f)
	if d.wakeup.url == "" {
		f.fail("select roomcast.configure(url => 'https://<app>.fly.dev"+webhookPath+"'); and ops secret", "the database has no wake-up URL")
	} else {
		d.checkURL(f)
		if d.wakeup.silent {
			f.fail("if this is now the chat's database: select roomcast.configure();", "no wake-up is sent: this database was copied from another (a dump, a branch, a template), and keeps silent until configure() is called in it")
		}
	}
	switch {
	case d.wakeup.secret == "":
		f.fail("ops secret gives it the first of WEBHOOK_SECRET", "the database has no secret to send with the wake-up")
	case len(d.WebhookSecrets) > 0 && !slices.Contains(d.WebhookSecrets, d.wakeup.secret):
		f.fail("ops secret gives it the first of them; or add the database's to WEBHOOK_SECRET", "the database's secret is none of WEBHOOK_SECRET")
	}
	if d.wakeup.timeout < coldStart {
		f.warn("select roomcast.configure(timeout_ms => 5000);", "pg_net gives up after %s, before a stopped machine has started", span(d.wakeup.timeout))
	}
	if len(*f) == before {
		f.ok("calls %s, waits up to %s", d.wakeup.url, span(d.wakeup.timeout))
	}
	return nil
}

func (d *doctor) checkURL(f *findings) {
	u, err := url.Parse(d.wakeup.url)
	switch {
	case err != nil || u.Path != webhookPath:
		f.fail("select roomcast.configure(url => 'https://<app>.fly.dev"+webhookPath+"');", "the wake-up URL does not end in %s", webhookPath)
	case u.Scheme != "https" && !outbox.IsLocal(u.Hostname()):
		f.fail("select roomcast.configure(url => 'https://…');", "the wake-up URL is not https: its secret travels in clear, and a redirect would lose the wake-up")
	}
}

// checkWakeup sends the wake-up webhook from here, twice: the first may have to start a machine.
func (d *doctor) checkWakeup(ctx context.Context, f *findings) error {
	if d.wakeup.url == "" || d.wakeup.secret == "" {
		f.skip("needs the wake-up settings")
		return nil
	}
	lease, err := d.awakeUntil(ctx)
	if err != nil {
		return err
	}
	first, took, err := d.wake(ctx)
	if err != nil {
		f.fail("is the function deployed, and its address right? Its log says why it does not start", "no answer from here: %s", short(withoutURL(err)))
		return nil
	}
	if !wakeupAnswer(f, first) {
		return nil
	}
	renewed, err := d.awaitLease(ctx, lease)
	if err != nil {
		return err
	}
	if !renewed {
		f.fail("see its database and its relay below, and its log: it does not reach this database", "the function accepted the wake-up, and no relay took the awake lease within %s", span(d.leaseWait))
	}
	if took > d.wakeup.timeout/2 {
		f.warn("select roomcast.configure(timeout_ms => 10000);", "the first answer took %s: near to pg_net's patience of %s, or past it", span(took), span(d.wakeup.timeout))
	}
	if _, took, err = d.wake(ctx); err != nil {
		return withoutURL(err)
	}
	if took > slowWakeup {
		f.warn("check the function's processor and region: it should be next to the database, and answers before it works", "an awake function took %s to answer", span(took))
	} else {
		f.ok("answers in %s", span(took))
	}
	return nil
}

func (d *doctor) wake(ctx context.Context) (status int, took time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.wakeup.url, bytes.NewBufferString(wakeupBody))
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+d.wakeup.secret)
	start := time.Now()
	resp, err := d.http.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection is used again
	return resp.StatusCode, time.Since(start), nil
}

// awakeUntil is the awake lease, in seconds since 1970 by the database's clock.
func (d *doctor) awakeUntil(ctx context.Context) (until float64, err error) {
	err = d.conn.QueryRow(ctx, `select extract(epoch from roomcast.read_clock('roomcast.awake_until'))::float8`).Scan(&until)
	if notYet(err) {
		return math.Inf(1), nil
	}
	return until, err
}

// awaitLease reports whether the awake lease is renewed within leaseWait: the wake-up
// then reached a relay that reaches this database.
func (d *doctor) awaitLease(ctx context.Context, before float64) (bool, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(d.leaseWait)
	for {
		until, err := d.awakeUntil(ctx)
		if err != nil || until != before { // one that was far ahead is moved back
			return err == nil, err
		}
		select {
		case <-tick.C:
		case <-deadline:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// wakeupAnswer reports whether a wake-up was accepted, and otherwise says what the answer means.
func wakeupAnswer(f *findings, status int) bool {
	switch {
	case status/100 == 2:
		return true
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		f.fail("give both sides one secret: WEBHOOK_SECRET of the function, and ops secret for the database", "the function refuses the database's secret (%d)", status)
	case status/100 == 3:
		f.fail("select roomcast.configure(url => '<the final https address>');", "the wake-up URL redirects (%d): pg_net would follow with an empty GET", status)
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		f.fail("select roomcast.configure(url => 'https://<app>.fly.dev"+webhookPath+"');", "there is no wake-up route at this address (%d)", status)
	default:
		f.fail("read the function's log", "the function answers a wake-up with %d", status)
	}
	return false
}

// withoutURL takes the address out of an HTTP client's error: people put keys there.
func withoutURL(err error) error {
	if wrapped, ok := err.(*url.Error); ok {
		return wrapped.Err
	}
	return err
}

// checkPgNet has the database itself send a wake-up: its network, its worker and its
// timeout differ from ours.
func (d *doctor) checkPgNet(ctx context.Context, f *findings) error {
	switch {
	case !d.wakeup.pgNet:
		f.fail("create extension pg_net; (Supabase: Database → Extensions)", "the database has no pg_net: no wake-up is sent")
		return nil
	case d.wakeup.url == "" || d.wakeup.secret == "":
		f.skip("needs the wake-up settings")
		return nil
	}
	var id int64
	err := d.conn.QueryRow(ctx, `select net.http_post(url => $1, body => $2::jsonb, headers => jsonb_build_object(
		'Content-Type', 'application/json', 'Authorization', 'Bearer ' || $3::text), timeout_milliseconds => $4::int)`,
		d.wakeup.url, wakeupBody, d.wakeup.secret, d.wakeup.timeout.Milliseconds()).Scan(&id)
	if err != nil {
		return err
	}
	start := time.Now()
	answer, err := d.awaitAnswer(ctx, id)
	switch {
	case err != nil:
		return err
	case answer == nil:
		f.fail("select net.worker_restart(); and see that pg_net is among shared_preload_libraries",
			"the database has not sent its wake-up within %s: pg_net's worker does not run, or is held up by other webhooks", span(time.Since(start)))
	case answer.timedOut:
		f.fail("select roomcast.configure(timeout_ms => 10000); and see why the function takes so long", "the database's wake-up had no answer in %s", span(d.wakeup.timeout))
	case answer.status == 0:
		f.fail("the database must be able to reach the function: check the address, its certificate and firewalls", "the database's wake-up did not get through: %s", answer.problem)
	case wakeupAnswer(f, answer.status):
		f.ok("the database's own wake-up was answered within %s", span(time.Since(start)))
	}
	return nil
}

// netAnswer is what pg_net noted of a request.
type netAnswer struct {
	status   int
	timedOut bool
	problem  string
}

// awaitAnswer polls for pg_net's answer until pg_net itself must have given up. It returns
// nil if there is none by then.
func (d *doctor) awaitAnswer(ctx context.Context, id int64) (*netAnswer, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	// A busy worker sleeps up to a second between two batches (FACTS.md, pg_net).
	deadline := time.After(min(d.wakeup.timeout+2*time.Second, d.patience*3/4))
	for {
		var a netAnswer
		err := d.conn.QueryRow(ctx, `select coalesce(status_code, 0), coalesce(timed_out, false), coalesce(error_msg, '') from net._http_response where id = $1`, id).
			Scan(&a.status, &a.timedOut, &a.problem)
		if err == nil {
			a.problem = strings.ReplaceAll(a.problem, d.wakeup.secret, "***")
			return &a, nil
		}
		if !notYet(err) {
			return nil, err
		}
		select {
		case <-tick.C:
		case <-deadline:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
