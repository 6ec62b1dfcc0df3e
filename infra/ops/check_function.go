package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
	"roomcast/shared/token"
)

// The clocks' limits. Supabase's tokens are granted thirty seconds of leeway
// (token.DefaultLeeway); Pusher refuses a signature that is off by ten minutes.
const (
	skewWorries = 5 * time.Second
	skewFails   = token.DefaultLeeway
	pusherFails = 10 * time.Minute
)

// pusherClock is what the signed read told of Pusher's clock.
type pusherClock struct {
	known bool
	skew  time.Duration // Pusher's minus ours
}

func (d *doctor) get(ctx context.Context, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return d.http.Do(req)
}

// checkPusher makes a signed read, which costs nothing.
func (d *doctor) checkPusher(ctx context.Context, f *findings) error {
	if d.PusherAppID == "" || d.PusherKey == "" || d.PusherSecret == "" {
		f.skip("needs PUSHER_APP_ID, PUSHER_KEY and PUSHER_SECRET")
		return nil
	}
	s := d.settings
	s.PusherEncryptionKey = "" // that is another check's
	client, err := s.pusher()
	if err != nil {
		f.fail("see App Keys in Pusher's dashboard", "%s", short(err))
		return nil
	}
	defer client.CloseIdle()
	result, err := client.Check(ctx)
	d.pusher = pusherClock{known: result.SkewKnown, skew: result.Skew}
	var answer *pusher.Error
	switch class := pusher.Classify(err); {
	case class == pusher.Accepted:
		f.ok("takes our signature, answers in %s", span(result.RoundTrip))
	case class == pusher.Credentials && result.Skew.Abs() > pusherFails:
		f.fail("set this machine's clock", "refuses our signature, because our clock is off by %s", span(result.Skew))
	case class == pusher.Credentials && errors.As(err, &answer) && answer.Status == http.StatusNotFound:
		f.fail("compare PUSHER_APP_ID and PUSHER_CLUSTER with App Keys in Pusher's dashboard", "knows no such app: %s", short(err))
	case class == pusher.Credentials:
		f.fail("compare PUSHER_APP_ID, PUSHER_KEY, PUSHER_SECRET and PUSHER_CLUSTER with App Keys in Pusher's dashboard", "refuses our signature: %s", short(err))
	case class == pusher.Refused:
		f.fail("see the app's usage and settings in Pusher's dashboard", "refuses the app: over its quota, or disabled: %s", short(err))
	default:
		f.fail("check PUSHER_CLUSTER or PUSHER_HOST, and PUSHER_TLS; then Pusher's status page", "does not answer as it should: %s", short(err))
	}
	return nil
}

// checkClocks compares the clocks of Postgres, Pusher and the function with this one:
// where all differ alike, it is this one that is wrong.
func (d *doctor) checkClocks(ctx context.Context, f *findings) error {
	type clock struct {
		of, fix string
		skew    time.Duration // minus ours
	}
	var clocks []clock
	if d.conn != nil {
		var theirs time.Time
		start := time.Now()
		if err := d.conn.QueryRow(ctx, `select clock_timestamp()`).Scan(&theirs); err != nil {
			return err
		}
		clocks = append(clocks, clock{"Postgres", "set this machine's clock, or that of the database's", theirs.Sub(start.Add(time.Since(start) / 2))})
	}
	if d.pusher.known {
		clocks = append(clocks, clock{"Pusher", "set this machine's clock", d.pusher.skew})
	}
	if d.functionURL() != "" {
		if skew, ok := d.functionSkew(ctx); ok {
			clocks = append(clocks, clock{"the function", "restart its machine, whose clock may have stood still while it was suspended", skew})
		}
	}
	if len(clocks) == 0 {
		f.skip("nobody was there to compare with")
		return nil
	}
	before, seen := len(*f), []string{}
	for _, c := range clocks {
		seen = append(seen, c.of)
		if c.skew.Abs() > skewFails {
			f.fail(c.fix, "%s is %s off this machine: valid tokens are refused, and Pusher refuses us from 10 min on", c.of, span(c.skew))
		} else if c.skew.Abs() > skewWorries {
			f.warn(c.fix, "%s is %s off this machine", c.of, span(c.skew))
		}
	}
	if len(*f) == before {
		f.ok("this machine agrees with %s", strings.Join(seen, ", "))
	}
	return nil
}

// functionSkew reads the function's clock from the Date of an answer, which has whole
// seconds.
func (d *doctor) functionSkew(ctx context.Context) (time.Duration, bool) {
	start := time.Now()
	resp, err := d.get(ctx, d.functionURL()+"/healthz")
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0, false
	}
	return date.Add(time.Second / 2).Sub(start.Add(time.Since(start) / 2)), true
}

// checkTokens fetches the keys that users' tokens are verified with.
func (d *doctor) checkTokens(ctx context.Context, f *findings) error {
	if d.SupabaseURL == "" && d.JWTSecret == "" {
		f.skip("needs SUPABASE_URL or SUPABASE_JWT_SECRET")
		return nil
	}
	verifier, err := token.New(token.Config{SupabaseURL: d.SupabaseURL, JWTSecret: d.JWTSecret, Leeway: token.DefaultLeeway})
	if err != nil {
		f.fail("SUPABASE_URL is https://<ref>.supabase.co; the JWT secret is in the project's API settings", "%s", short(err))
		return nil
	}
	if err := verifier.Check(ctx); err != nil && d.isPaused(ctx) {
		f.fail("restore it in Supabase's dashboard", "the project of SUPABASE_URL is paused")
		return nil
	} else if err != nil {
		f.fail("check SUPABASE_URL; a project that signs with the legacy secret needs SUPABASE_JWT_SECRET", "the keys cannot be had: %s", short(withoutURL(err)))
		return nil
	}
	if d.SupabaseURL == "" {
		f.warn("set SUPABASE_URL", "with the legacy secret alone, nothing says which project a token is of")
		return nil
	}
	f.ok("the project's keys can be had")
	return nil
}

// pausedStatus is what Supabase's API answers for a project that is paused.
const pausedStatus = 540

func (d *doctor) isPaused(ctx context.Context) bool {
	resp, err := d.get(ctx, strings.TrimSuffix(d.SupabaseURL, "/")+"/auth/v1/.well-known/jwks.json")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == pausedStatus
}

// checkEncryption checks the master key, where rooms are encrypted.
func (d *doctor) checkEncryption(_ context.Context, f *findings) error {
	const fresh = "make one with: openssl rand -base64 32"
	kinds, err := d.kinds()
	if err != nil {
		f.fail("ROOM_CHANNELS is a list of private, presence, encrypted, public, packed", "%s", short(err))
		return nil
	}
	key, err := base64.StdEncoding.DecodeString(d.PusherEncryptionKey)
	usable := err == nil && len(key) == 32 // NaCl secretbox's key size
	switch wanted := slices.Contains(kinds, event.Encrypted); {
	case wanted && d.PusherEncryptionKey == "":
		f.fail(fresh, "ROOM_CHANNELS asks for encrypted rooms, and PUSHER_ENCRYPTION_KEY is missing")
	case d.PusherEncryptionKey != "" && !usable:
		f.fail(fresh+" (browsers refetch what was sealed with the old one)", "PUSHER_ENCRYPTION_KEY is not the base64 of 32 bytes")
	case wanted:
		f.ok("PUSHER_ENCRYPTION_KEY is a key")
	default:
		f.ok("not asked for")
	}
	return nil
}

// checkOrigins checks who may call from a browser, and asks the function itself.
func (d *doctor) checkOrigins(ctx context.Context, f *findings) error {
	if len(d.AllowedOrigins) == 0 {
		f.warn("set ALLOWED_ORIGINS=https://<where the chat is served>", "no origin is allowed: only pages of the function's own address can call it")
		return nil
	}
	before := len(*f)
	for _, origin := range d.AllowedOrigins {
		u, err := url.Parse(origin)
		switch {
		case origin == "*": // harmless: the page sends its token itself, and no cookie
		case err != nil || u.Scheme == "" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
			f.fail("an origin is scheme and host, such as https://chat.example", "%q is no origin: no browser will match it", origin)
		case u.Scheme != "https" && !outbox.IsLocal(u.Hostname()):
			f.warn("serve the chat by https", "%s is not https: tokens travel in clear", origin)
		default:
			d.preflight(ctx, f, strings.TrimSuffix(origin, "/"))
		}
	}
	if len(*f) == before {
		f.ok("%s", strings.Join(d.AllowedOrigins, ", "))
	}
	return nil
}

// preflight asks the function as a browser of that origin would.
func (d *doctor) preflight(ctx context.Context, f *findings, origin string) {
	if d.functionURL() == "" {
		return
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodOptions, d.functionURL()+"/pusher/auth", nil)
	if err != nil {
		return // checkFunction has said what is wrong with the address
	}
	req.Header.Set("Origin", origin)
	req.Header.Set("Access-Control-Request-Method", "POST")
	resp, err := d.http.Do(req)
	if err != nil {
		return // the same
	}
	defer resp.Body.Close()
	if allowed := resp.Header.Get("Access-Control-Allow-Origin"); allowed != origin && allowed != "*" {
		f.fail(fmt.Sprintf("add %s to the function's ALLOWED_ORIGINS and deploy", origin), "the function does not let pages of %s in", origin)
	}
}
