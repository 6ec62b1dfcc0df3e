package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	fly "github.com/superfly/fly-go"
	"github.com/superfly/fly-go/flaps"
	"github.com/superfly/fly-go/tokens"
)

// platform is what a deploy asks of Fly: the part of *flaps.Client it uses.
type platform interface {
	GetApp(ctx context.Context, name string) (*flaps.App, error)
	CreateApp(ctx context.Context, in flaps.CreateAppRequest) (*flaps.App, error)
	GetIPAssignments(ctx context.Context, app string) (*flaps.ListIPAssignmentsResponse, error)
	AssignIP(ctx context.Context, app string, req flaps.AssignIPRequest) (*flaps.IPAssignment, error)
	ListAppSecrets(ctx context.Context, app string, version *uint64, show bool) ([]fly.AppSecret, error)
	UpdateAppSecrets(ctx context.Context, app string, values map[string]*string) (*fly.UpdateAppSecretsResp, error)

	List(ctx context.Context, app, filter string) ([]*fly.Machine, error)
	Get(ctx context.Context, app, id string) (*fly.Machine, error)
	Launch(ctx context.Context, app string, in fly.LaunchMachineInput) (*fly.Machine, error)
	Update(ctx context.Context, app string, in fly.LaunchMachineInput, nonce string) (*fly.Machine, error)
	Start(ctx context.Context, app, id, nonce string) (*fly.MachineStartResponse, error)
	Stop(ctx context.Context, app string, in fly.StopMachineInput, nonce string) error
	Destroy(ctx context.Context, app string, in fly.RemoveMachineInput, nonce string) error
	Wait(ctx context.Context, app, id string, opts ...flaps.WaitOption) error
	SetMetadata(ctx context.Context, app, id, key, value string) error

	AcquireLease(ctx context.Context, app, id string, ttl *int) (*fly.MachineLease, error)
	FindLease(ctx context.Context, app, id string) (*fly.MachineLease, error)
	RefreshLease(ctx context.Context, app, id string, ttl *int, nonce string) (*fly.MachineLease, error)
	ReleaseLease(ctx context.Context, app, id, nonce string) error
}

var _ platform = (*flaps.Client)(nil)

// newPlatform makes the client of the API at base; empty is Fly's own. fly-go would read
// FLY_FLAPS_BASE_URL in the environment of the process alone.
func newPlatform(ctx context.Context, token, base string) (*flaps.Client, error) {
	at, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("FLY_FLAPS_BASE_URL: %w", err)
	}
	return flaps.NewWithOptions(ctx, flaps.NewClientOpts{
		UserAgent: "roomcast-deploy", Tokens: tokens.Parse(token), Transport: careful{http.DefaultTransport, at},
	})
}

// errUncertain is the end of a create of which nobody knows whether it was done.
var errUncertain = errors.New("no answer to the create")

// careful stands below fly-go's client, which repeats every request that is answered
// 502 or 503, and makes up for two faults in that.
//
// A create must not be repeated: a machine created twice is paid twice. It becomes an
// error that is not repeated, and the caller has to check whether the thing is there;
// see rollout.launch.
//
// And a request that is repeated is sent from the same reader as the first time
// (PuerkitoBio/rehttp v1.4.0, Transport.RoundTrip), which net/http may still be
// reading: a data race, and at times an empty body. So each try gets a copy.
type careful struct {
	next http.RoundTripper
	api  *url.URL // where requests go, if it has a host
}

// RoundTrip sends a copy of the request, and tells an uncertain create apart.
func (t careful) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err := errors.Join(err, r.Body.Close()); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if t.api.Host != "" {
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host, r.Host = t.api.Scheme, t.api.Host, t.api.Host
	}
	answer, err := t.next.RoundTrip(r)
	if err != nil || !creates(r) {
		return answer, err
	}
	switch answer.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		answer.Body.Close()
		return nil, fmt.Errorf("%w: status %d", errUncertain, answer.StatusCode)
	}
	return answer, nil
}

func creates(r *http.Request) bool {
	last := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	return r.Method == http.MethodPost && (last == "machines" || last == "ip_assignments" || last == "apps")
}

// uncertain reports whether a create that ended in err may have been done all the
// same: anything but an answer that refuses it.
func uncertain(err error) bool {
	refusal := (*flaps.FlapsError)(nil)
	return err != nil && (!errors.As(err, &refusal) || refusal.ResponseStatusCode >= 500)
}

// logs reads the last lines that a machine wrote. Fly's log API is not part of the
// Machines API; flyctl asks it in this way (fly-go resource_logs.go, whose own
// address is a global variable).
type logs struct {
	base  string // such as https://api.fly.io
	token string
	http  *http.Client
}

// last returns up to count lines of the machine. Nothing may depend on it: lines
// come seconds late, or never.
func (l logs) last(ctx context.Context, app, id string, count int) ([]string, error) {
	query := url.Values{"instance": {id}, "next_token": {""}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base+"/api/v1/apps/"+url.PathEscape(app)+"/logs?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	req.Header.Set("Authorization", tokens.Parse(l.token).BubblegumHeader())
	answer, err := l.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	if err != nil || answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("logs: status %d: %w", answer.StatusCode, errors.Join(err, errors.New("not to be had")))
	}
	var page struct {
		Data []struct{ Attributes fly.LogEntry }
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&page); err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	var lines []string
	for _, d := range page.Data {
		lines = append(lines, strings.TrimRight(d.Attributes.Message, "\n"))
	}
	return lines[max(0, len(lines)-count):], nil
}

// waitFor calls done every pace until it says so, it fails, or ctx ends; then the
// error is ctx's.
func waitFor(ctx context.Context, pace time.Duration, done func() (bool, error)) error {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
