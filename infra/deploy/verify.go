package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	fly "github.com/superfly/fly-go"
	"github.com/superfly/fly-go/flaps"

	"roomcast/shared/selfcheck"
)

// Why a machine that was updated is not accepted.
var (
	errExited    = errors.New("the process exited")
	errUnhealthy = errors.New("the health check does not pass")
	errWakeup    = errors.New("the test wake-up was refused")
	errVersion   = errors.New("another version answers")
	errMode      = errors.New("the process runs in another mode")
	errDatabase  = errors.New("the process cannot use its database")
	errSchema    = errors.New("the database's schema is older than this version")
	errPusher    = errors.New("the process's requests are not taken by Pusher")
	errApp       = errors.New("the outbox belongs to another Pusher app")
	errEvent     = errors.New("the test event did not get through")
)

// wakeupBody is what the database sends: it says only that something may be waiting.
const wakeupBody = `{"type":"WAKEUP","schema":"roomcast","table":"outbox","record":null,"old_record":null}`

// expected is what a machine must tell of itself.
type expected struct {
	version string // empty if it is not known, as for what `fly deploy` put there
	mode    string // outbox or forward-only; empty if it is not known
	event   bool   // a test event must go from the outbox to Pusher's answer through it
}

// attempt is a machine that was changed, and from where on what it does counts.
type attempt struct {
	id, nonce string
	instance  string // Fly's name for this version of the machine
	since     int64  // the last event before the change, by Fly's clock
}

// verify starts the machine if it sleeps, waits until its health check passes, sends
// a wake-up and reads back what answers.
func (d *deployer) verify(ctx context.Context, a attempt, want expected) error {
	began := time.Now()
	if err := d.awaitHealth(ctx, a); err != nil {
		return err
	}
	d.say("machine %s: healthy after %.1f s", a.id, time.Since(began).Seconds())
	version, err := d.wake(ctx, a.id)
	if err != nil {
		return err
	}
	mode, err := d.readHealth(ctx, a.id)
	if err != nil {
		return err
	}
	if want.version != "" && version != want.version {
		return fmt.Errorf("%w: %s, not %s", errVersion, short(version), short(want.version))
	}
	if want.mode != "" && mode != want.mode {
		return fmt.Errorf("%w: %s, not %s: is DATABASE_URL what it should be?", errMode, mode, want.mode)
	}
	d.say("machine %s: answered the test wake-up: version %s, mode %s", a.id, short(version), mode)
	if !want.event {
		return nil
	}
	return d.sendEvent(ctx, a.id)
}

// sendEvent has the machine say what it sees, and send a test event the way of all
// events: a wake-up is answered before database or Pusher are asked.
func (d *deployer) sendEvent(ctx context.Context, id string) error {
	limited, cancel := context.WithTimeout(ctx, max(d.patience, 15*time.Second))
	defer cancel()
	report, err := selfcheck.Ask(limited, d.http, d.url, d.secret, true, func(r *http.Request) { r.Header.Set(forceInstance, id) })
	if err != nil {
		return fmt.Errorf("self-check: %w", err)
	}
	if db := report.Database; db != nil {
		switch {
		case !db.Reachable:
			return fmt.Errorf("%w at %s: %s: is DATABASE_URL what it should be?", errDatabase, db.Host, db.Error)
		case db.Schema < db.SchemaExpected:
			return fmt.Errorf("%w: it has %d, wanted is %d: %s is missing: deploy -migrate", errSchema, db.Schema, db.SchemaExpected, strings.Join(db.Missing, ", "))
		case db.PusherApp != "" && db.PusherApp != report.Pusher.AppID:
			return fmt.Errorf("%w: %s, not %s: is DATABASE_URL another project's? If the app is to change: select roomcast.configure(pusher_app => '%s');", errApp, db.PusherApp, report.Pusher.AppID, report.Pusher.AppID)
		}
	}
	switch {
	case !report.Pusher.Reachable:
		return fmt.Errorf("%w: %s: compare PUSHER_APP_ID, PUSHER_KEY, PUSHER_SECRET and PUSHER_CLUSTER with App Keys in Pusher's dashboard", errPusher, report.Pusher.Error)
	case report.Event == nil || !report.Event.Accepted:
		why := "it was not sent"
		if report.Event != nil {
			why = report.Event.Error
		}
		return fmt.Errorf("%w: %s", errEvent, why)
	}
	d.say("machine %s: a test event went through to Pusher in %.1f s", id, report.Event.Seconds)
	return nil
}

// forceInstance has Fly's proxy take one machine
// (https://fly.io/docs/networking/dynamic-request-routing/).
const forceInstance = "Fly-Force-Instance-Id"

// awaitHealth gives the machine until d.patience to pass every check. A machine that
// has no check would pass at once (fly-go says "all passing" of none), so there must
// be one. A process that exits by itself with another status than 0 is not given
// another chance, though Fly would start it again.
func (d *deployer) awaitHealth(ctx context.Context, a attempt) error {
	limited, cancel := context.WithTimeoutCause(ctx, d.patience, errUnhealthy)
	defer cancel()
	last := "no answer yet"
	err := waitFor(limited, d.pace, func() (bool, error) {
		m, err := d.fly.Get(limited, d.app, a.id)
		if limited.Err() != nil {
			return false, context.Cause(limited) // last is what was seen before
		}
		if err != nil {
			last = err.Error()
			return false, fatal(err)
		}
		if m.InstanceID != a.instance {
			last = "still the former version"
			return false, nil
		}
		if code, exited := crashed(m, a.since); exited {
			return false, fmt.Errorf("%w with status %d", errExited, code)
		}
		checks := m.AllHealthChecks()
		last = fmt.Sprintf("machine %s, %d of %d checks pass%s", m.State, checks.Passing, checks.Total, outputs(m))
		switch m.State {
		case fly.MachineStateStarted:
			return checks.Total > 0 && checks.AllPassing(), nil
		case fly.MachineStateStopped, fly.MachineStateCreated, fly.MachineStateSuspended:
			// Asleep, or left so by the update. A start during a transition
			// is refused, and tried again at the next poll.
			_, err := d.fly.Start(limited, d.app, a.id, a.nonce)
			return false, fatal(err)
		}
		return false, nil
	})
	if errors.Is(err, errUnhealthy) {
		return fmt.Errorf("%w after %s: %s", errUnhealthy, d.patience, last)
	}
	return err
}

// fatal keeps the errors that waiting does not cure.
func fatal(err error) error {
	var refusal *flaps.FlapsError
	if errors.As(err, &refusal) {
		switch refusal.ResponseStatusCode {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
			return err
		}
	}
	return nil
}

// outputs are what the failing checks had to say.
func outputs(m *fly.Machine) (text string) {
	for _, check := range m.Checks {
		if check.Status != fly.Passing && check.Output != "" {
			text += "; " + check.Output
		}
	}
	return text
}

// lastEvent is the time of a machine's newest event, by Fly's clock.
func lastEvent(m *fly.Machine) (at int64) {
	for _, e := range m.Events {
		at = max(at, e.Timestamp)
	}
	return at
}

// crashed finds an exit after since that nobody asked for and was not sleep. The
// process that stood there before a change may end by itself in the very moment of the
// change: one exit ahead of every start is its own, a second one no longer.
func crashed(m *fly.Machine, since int64) (code int, ok bool) {
	events := slices.SortedFunc(slices.Values(m.Events), func(a, b *fly.MachineEvent) int {
		return cmp.Compare(a.Timestamp, b.Timestamp)
	})
	begun := false // the new process has had its turn
	for _, e := range events {
		if e.Timestamp <= since {
			continue
		}
		exit := exitOf(e)
		if begun && exit != nil && !exit.RequestedStop && (exit.ExitCode != 0 || exit.OOMKilled) {
			return exit.ExitCode, true
		}
		begun = begun || e.Type == "start" || exit != nil
	}
	return 0, false
}

// exitOf is what an event tells of a process's end, nil for other events.
func exitOf(e *fly.MachineEvent) *fly.MachineExitEvent {
	if e.Type != "exit" || e.Request == nil {
		return nil
	}
	if e.Request.ExitEvent == nil && e.Request.MonitorEvent != nil {
		return e.Request.MonitorEvent.ExitEvent
	}
	return e.Request.ExitEvent
}

// wake sends the test wake-up to one machine and returns the version that took it.
func (d *deployer) wake(ctx context.Context, id string) (version string, err error) {
	answer, err := d.ask(ctx, id, http.MethodPost, "/webhooks/supabase", wakeupBody)
	if err != nil {
		return "", fmt.Errorf("test wake-up: %w", err)
	}
	if answer.status != http.StatusAccepted {
		return "", fmt.Errorf("%w: status %d: %s", errWakeup, answer.status, answer.body)
	}
	return answer.version, nil
}

// readHealth asks one machine in which mode it runs.
func (d *deployer) readHealth(ctx context.Context, id string) (mode string, err error) {
	answer, err := d.ask(ctx, id, http.MethodGet, "/healthz", "")
	if err != nil {
		return "", fmt.Errorf("health: %w", err)
	}
	var health struct{ Status, Mode string }
	if err := json.Unmarshal(answer.body, &health); err != nil || answer.status != http.StatusOK || health.Status != "ok" {
		return "", fmt.Errorf("%w: /healthz answers %d: %s", errUnhealthy, answer.status, answer.body)
	}
	return health.Mode, nil
}

type answer struct {
	status  int
	version string
	body    []byte
}

// ask sends a request to one machine, by way of the public address as everyone's
// requests come. The proxy may not have heard of the machine yet, and a new app's
// name not be known everywhere: such answers are tried again until d.patience.
func (d *deployer) ask(ctx context.Context, id, method, path, body string) (a answer, err error) {
	limited, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	var last error
	err = waitFor(limited, d.pace, func() (bool, error) {
		a, last = d.once(limited, id, method, path, body)
		return last == nil && a.status != http.StatusBadGateway && a.status != http.StatusServiceUnavailable, nil
	})
	if err != nil && ctx.Err() == nil {
		err = last // nil if there was an answer, however bad: the caller judges it
	}
	return a, err
}

func (d *deployer) once(ctx context.Context, id, method, path, body string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set(forceInstance, id)
	if body != "" {
		req.Header.Set("Authorization", "Bearer "+d.secret)
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	return answer{status: resp.StatusCode, version: resp.Header.Get("Roomcast-Version"), body: bytes.TrimSpace(text)}, err
}
