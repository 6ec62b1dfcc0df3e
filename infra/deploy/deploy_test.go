package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"roomcast/infra/deploy/flytest"
	"roomcast/shared/pusher/pushertest"
)

func TestFirstDeployAndAgainWithoutChange(t *testing.T) {
	w := newWorld(t)
	said := w.must(versionA)
	w.finished(versionA, 2)
	if got := w.states(); !slices.Equal(got, []string{"stopped", "stopped"}) {
		t.Errorf("machines are %v, want both asleep", got)
	}
	if got := w.fly.Secrets(appName); got["WEBHOOK_SECRET"] != secretOne || len(got) != len(w.secrets) {
		t.Errorf("secrets on Fly: %d, want %d", len(got), len(w.secrets))
	}
	contains(t, said, "+ app", "shared_v4", "+ address    v6", "PUSHER_SECRET", "answered the test wake-up", "asleep again")
	for name, secret := range w.secrets {
		if len(secret) > 8 && strings.Contains(said, secret) {
			t.Errorf("the value of %s was said", name)
		}
	}
	w.serves(versionA) // which wakes one of them

	before := w.fly.Requests()
	again := w.must(versionA)
	contains(t, again, "Nothing to do.")
	if now := w.fly.Requests(); len(now) != len(before) {
		t.Errorf("the second deploy did %v", now[len(before):])
	}
}

func TestGoodUpdate(t *testing.T) {
	w := newWorld(t)
	w.must(versionA)
	w.serves(versionA)
	awake := slices.Index(w.states(), "started")
	said := w.must(versionB)
	w.finished(versionB, 2)
	contains(t, said, "update: image")
	for i, state := range w.states() {
		if want := map[bool]string{true: "started", false: "stopped"}[i == awake]; state != want {
			t.Errorf("machine %d is %s, want it %s as before", i, state, want)
		}
	}
	w.serves(versionB)
}

// Each of these is a deploy that must not be kept: the version before it serves again.
func TestBadUpdatesAreRolledBack(t *testing.T) {
	for _, bad := range []struct {
		name   string
		spoil  func(w *world)
		reason error
		said   string
	}{
		{"the process exits", func(w *world) { w.env("LOG_LEVEL", "loud") }, errExited, "LOG_LEVEL: must be debug, info, warn or error"},
		{"health fails", func(w *world) {
			w.toml["http_service"].(map[string]any)["checks"].([]any)[0].(map[string]any)["path"] = "/healthy"
			w.tune = func(d *deployer) { d.patience = 8 * time.Second }
		}, errUnhealthy, "404"},
		{"wrong version", func(w *world) {
			w.make = func(context.Context, string, string) (v1.Image, error) { return imageA() }
			w.env("IDLE_EXIT", "4m") // else it is the same image
		}, errVersion, short(versionA) + ", not " + short(versionB)},
		{"wake-up refused", func(w *world) {
			w.secrets["WEBHOOK_SECRET"] = "webhook-secret-two-32-characters"
			w.fly.KeepSecretsStale()
		}, errWakeup, "401"},
		{"the database was lost", func(w *world) {
			w.secrets["DATABASE_URL"] = "postgres://relay:password@127.0.0.1:1/postgres"
			w.fly.KeepSecretsStale()
		}, errMode, "forward-only, not outbox"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			w := newWorld(t)
			w.must(versionA)
			w.serves(versionA)
			before := w.fly.Machines(appName)
			bad.spoil(w)
			said, err := w.deploy(versionB)
			if !errors.Is(err, errRolledBack) || !errors.Is(err, bad.reason) {
				t.Fatalf("deploy: %v", err)
			}
			contains(t, said+err.Error(), bad.said)
			w.fly.Heal()
			w.finished(versionA, 2)
			for i, m := range w.fly.Machines(appName) {
				if m.Image != before[i].Image || m.State != before[i].State {
					t.Errorf("machine %d is %s on %s, was %s on %s", i, m.State, m.Image, before[i].State, before[i].Image)
				}
			}
			if got := w.fly.Secrets(appName); got["WEBHOOK_SECRET"] != secretOne || got["DATABASE_URL"] != "" {
				t.Error("the secrets were not put back")
			}
			w.serves(versionA)
		})
	}
}

// Each of these answers a wake-up with 202 and passes its health check: only a test event
// tells that nothing would be sent (O1).
func TestWakeupIsNotEnough(t *testing.T) {
	for _, bad := range []struct {
		name   string
		spoil  func(w *world)
		reason error
		said   string
	}{
		{"a wrong Pusher secret", func(w *world) { w.secrets["PUSHER_SECRET"] = "another" }, errPusher, "401"},
		{"a database that answers nobody", func(w *world) { w.secrets["DATABASE_URL"] = "postgres://relay:password@127.0.0.1:1/postgres" }, errDatabase, "127.0.0.1:1"},
		{"a wrong password", func(w *world) {
			w.secrets["DATABASE_URL"] = strings.Replace(w.secrets["DATABASE_URL"], "deploy-password", "wrong", 1)
		}, errDatabase, "password"},
		{"the outbox belongs to another app", func(w *world) { w.exec(w.owner, `select roomcast.configure(pusher_app => 'production')`) }, errApp, "production, not "},
		{"Pusher publishes nothing", func(w *world) {
			w.pusher.Inject(pushertest.Fault{Status: 403, Channel: "private-room-roomcast-selfcheck"})
		}, errEvent, "403"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			w := newWorld(t)
			w.withDatabase()
			said := w.must(versionA)
			contains(t, said, "a test event went through to Pusher")
			bad.spoil(w)
			said, err := w.deploy(versionB)
			if !errors.Is(err, errRolledBack) || !errors.Is(err, bad.reason) {
				t.Fatalf("deploy: %v", err)
			}
			contains(t, said+err.Error(), bad.said)
			w.finished(versionA, 2)
		})
	}
}

// A deploy onto an older schema is refused, names what is missing, and touches nothing;
// with -migrate the schema goes first.
func TestSchemaGoesFirst(t *testing.T) {
	w := newWorld(t)
	owner := w.withDatabase()
	w.exec(owner, `drop schema roomcast cascade`)
	_, err := w.deploy(versionA)
	if !errors.Is(err, errSchema) {
		t.Fatalf("deploy: %v", err)
	}
	contains(t, err.Error(), "001_schema.sql, ", "missing; nothing was touched", "-migrate")
	if requests := w.fly.Requests(); len(requests) != 0 {
		t.Errorf("it did %v", requests)
	}
	if _, err = w.deploy(versionA, "-migrate"); !errors.Is(err, errNoOwner) {
		t.Fatalf("deploy -migrate without the owner: %v", err)
	}
	w.secrets["OWNER_DATABASE_URL"] = owner
	said := w.must(versionA, "-migrate")
	contains(t, said, "schema: as this version expects it", "a test event went through")
	if w.fly.Secrets(appName)["OWNER_DATABASE_URL"] != "" {
		t.Error("the owner's URL became a secret of the function")
	}
}

// Fly need not tell the former values of secrets: then that is said.
func TestSecretsThatCannotBePutBack(t *testing.T) {
	w := newWorld(t)
	w.must(versionA)
	w.secrets["PUSHER_SECRET"], w.secrets["PUSHER_TLS"] = "another-secret", "perhaps"
	w.fly.HideSecrets()
	said, err := w.deploy(versionA)
	if !errors.Is(err, errExited) || !errors.Is(err, errStuck) {
		t.Fatalf("deploy: %v", err)
	}
	contains(t, said, "PUSHER_TLS: must be true or false", "does not tell the former values of PUSHER_SECRET, PUSHER_TLS")
	cfg := w.pusher.Config()
	w.secrets["PUSHER_SECRET"], w.secrets["PUSHER_TLS"] = cfg.Secret, "false"
	w.must(versionA)
	w.finished(versionA, 2)
}

func TestFailedFirstDeployLeavesNoMachine(t *testing.T) {
	w := newWorld(t)
	w.fly.Inject("POST /v1/apps/{app}/machines", 1, -1, flytest.Capacity())
	said, err := w.deploy(versionA)
	if !errors.Is(err, errRolledBack) {
		t.Fatalf("deploy: %v", err)
	}
	contains(t, said, "Try choosing a different region", "destroyed")
	if machines := w.fly.Machines(appName); len(machines) != 0 {
		t.Errorf("left: %+v", machines)
	}
	w.fly.Heal()
	w.must(versionA)
	w.finished(versionA, 2)
}

// A create of which nobody knows whether it was done is looked up, not repeated.
func TestUncertainCreates(t *testing.T) {
	for name, f := range map[string]flytest.Fault{
		"refused with 503":         {Status: http.StatusServiceUnavailable},
		"done, answered with 503":  {Done: true, Status: http.StatusServiceUnavailable},
		"done, connection dropped": {Done: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fly.Inject("POST /v1/apps/{app}/machines", 0, 1, f)
			if f.Done {
				w.fly.Inject("POST /v1/apps", 0, 1, f)
				w.fly.Inject("POST /v1/apps/{app}/ip_assignments", 0, 1, f)
			}
			w.must(versionA)
			w.finished(versionA, 2)
			addresses := slices.DeleteFunc(w.fly.Requests(), func(r string) bool { return !strings.HasSuffix(r, "/ip_assignments") })
			if len(addresses) != 2 {
				t.Errorf("%d addresses were asked for, want 2", len(addresses))
			}
		})
	}
}

func TestServiceUnavailableForAMoment(t *testing.T) {
	w := newWorld(t)
	for _, pattern := range []string{"GET /v1/apps/{app}", "POST /v1/apps/{app}/secrets", "POST /v1/apps/{app}/machines/{id}/stop"} {
		w.fly.Inject(pattern, 0, 1, flytest.Fault{Status: http.StatusServiceUnavailable})
	}
	w.must(versionA)
	w.finished(versionA, 2)
}

func TestLeaseHeldByAnother(t *testing.T) {
	w := newWorld(t)
	w.must(versionA)
	w.tune = func(d *deployer) { d.leaseWait = 300 * time.Millisecond }
	held := w.fly.Machines(appName)[1].ID
	release := w.fly.HoldLease(held, "colleague@example.com")
	before := len(w.fly.Requests())
	_, err := w.deploy(versionB)
	if !errors.Is(err, errLeased) || !strings.Contains(err.Error(), "colleague@example.com") {
		t.Fatalf("deploy: %v", err)
	}
	if now := w.fly.Requests(); len(now) != before {
		t.Errorf("it did %v all the same", now[before:])
	}
	release()
	w.must(versionB)
	w.finished(versionB, 2)
}

func TestRefusedToken(t *testing.T) {
	w := newWorld(t)
	c := w.command(versionA, new(bytes.Buffer), "-yes")
	good := c.getenv
	c.getenv = func(name string) string {
		if name == "FLY_API_TOKEN" {
			return "fo1_expired"
		}
		return good(name)
	}
	if err := c.run(t.Context()); err == nil || !strings.Contains(err.Error(), "FLY_API_TOKEN is not accepted") {
		t.Errorf("deploy: %v", err)
	}
}

// Without a token nothing is asked of anybody, and everything missing is said at once.
func TestWithoutTokenNothingIsTouched(t *testing.T) {
	w := newWorld(t)
	w.secrets = map[string]string{"FLY_API_TOKEN": ""}
	w.make = func(context.Context, string, string) (v1.Image, error) {
		t.Error("it was built")
		return nil, errors.New("not to be built")
	}
	_, err := w.deploy(versionA)
	if !errors.Is(err, errMissing) {
		t.Fatalf("deploy: %v", err)
	}
	contains(t, err.Error(), "FLY_API_TOKEN", "fly tokens create", "WEBHOOK_SECRET", "PUSHER_APP_ID", "PUSHER_KEY", "PUSHER_SECRET", "nothing was touched")
	if requests := w.fly.Requests(); len(requests) != 0 {
		t.Errorf("it did %v", requests)
	}
}

func TestDryRunAndNobodyToAgree(t *testing.T) {
	w := newWorld(t)
	said := w.must(versionA, "-dry-run")
	contains(t, said, "+ machine    1: create", "+ machine    2: create", "dry run")
	var out bytes.Buffer
	if err := w.command(versionA, &out).run(t.Context()); err == nil || !strings.Contains(out.String(), "Do it? [y/N]") {
		t.Errorf("without an answer: %v\n%s", err, out.String())
	}
	if requests := w.fly.Requests(); len(requests) != 0 {
		t.Errorf("it did %v", requests)
	}
	c := w.command(versionA, &out)
	c.in = strings.NewReader("y\n")
	if err := c.run(t.Context()); err != nil {
		t.Error(err)
	}
	w.finished(versionA, 2)
}

// At rest no machine runs; a webhook wakes one and is delivered; it sleeps again by
// itself, exit status 0.
func TestScaleToZeroAndBack(t *testing.T) {
	w := newWorld(t)
	w.env("IDLE_EXIT", "1s")
	w.must(versionA)
	asleep := func() bool { return !slices.ContainsFunc(w.states(), func(s string) bool { return s != "stopped" }) }
	for i := range 2 {
		if !asleep() {
			t.Fatalf("machines are %v", w.states())
		}
		status, version := w.post(`{"type":"INSERT","schema":"public","table":"messages","record":{"id":"m1","room_id":"r1","content":"hi"},"old_record":null}`)
		if status != http.StatusAccepted || version != versionA {
			t.Fatalf("the webhook is answered with %d by %q", status, version)
		}
		delivered := func(events []pushertest.Accepted) bool {
			sent := slices.DeleteFunc(slices.Clone(events), func(e pushertest.Accepted) bool { return e.Channel != "room-r1" })
			return len(sent) == i+1 // the others are the deploy's test events
		}
		if err := w.pusher.Wait(t.Context(), delivered); err != nil {
			t.Fatal(err)
		}
		w.fly.Wait(t, "sleep", asleep)
	}
}
