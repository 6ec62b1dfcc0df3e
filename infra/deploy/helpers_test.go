package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/pelletier/go-toml/v2"

	"roomcast/infra/deploy/flytest"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher/pushertest"
)

const (
	appName   = "roomcast"
	secretOne = "webhook-secret-one-32-characters"
	versionA  = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	versionB  = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// The images of two versions of the real function; made at first use, once per run.
var (
	imageA = sync.OnceValues(func() (v1.Image, error) { return makeImage(context.Background(), "../..", versionA) })
	imageB = sync.OnceValues(func() (v1.Image, error) { return makeImage(context.Background(), "../..", versionB) })
)

// ready stands in for makeImage.
func ready(_ context.Context, _, revision string) (v1.Image, error) {
	switch revision {
	case versionA:
		return imageA()
	case versionB:
		return imageB()
	}
	return nil, fmt.Errorf("no image of version %q", revision)
}

// world is a Fly, a Pusher, and somebody who deploys: a checkout's settings and
// secrets, which tests change.
type world struct {
	t       *testing.T
	fly     *flytest.Server
	pusher  *pushertest.Server
	toml    map[string]any    // fly.toml as shipped, but quick to fall asleep if told
	secrets map[string]string // the environment of the deploy
	make    func(ctx context.Context, root, revision string) (v1.Image, error)
	tune    func(*deployer)
	owner   string // of the database, if there is one
}

// newWorld makes one.
func newWorld(t *testing.T) *world {
	t.Helper()
	push := pushertest.Start(t, pushertest.Options{})
	w := &world{t: t, fly: flytest.New(t, os.Getenv(programsDir)), pusher: push, make: ready, tune: func(*deployer) {}}
	text, err := os.ReadFile("../../fly.toml")
	if err != nil {
		t.Fatal(err)
	}
	if err := toml.Unmarshal(text, &w.toml); err != nil {
		t.Fatal(err)
	}
	w.toml["app"] = appName
	cfg := push.Config()
	w.secrets = map[string]string{ // forward-only, for the chat of a public room
		"WEBHOOK_SECRET": secretOne, "ROOM_CHANNELS": "public", "SUPABASE_JWT_SECRET": "a-legacy-jwt-secret-of-32-characters",
		"PUSHER_APP_ID": cfg.AppID, "PUSHER_KEY": cfg.Key, "PUSHER_SECRET": cfg.Secret,
		"PUSHER_HOST": push.Host(), "PUSHER_TLS": "false",
	}
	return w
}

// withDatabase gives the function a chat's database, and returns its owner's URL.
func (w *world) withDatabase() (owner string) {
	w.t.Helper()
	owner = outboxtest.Chat(w.t)
	w.owner = owner
	w.exec(owner, `do $$ begin create role deploy_relay login password 'deploy-password' in role roomcast_relay; exception when duplicate_object then null; end $$`)
	u, err := url.Parse(owner)
	if err != nil {
		w.t.Fatal(err)
	}
	u.User = url.UserPassword("deploy_relay", "deploy-password")
	w.secrets["DATABASE_URL"], w.secrets["ROOM_CHANNELS"] = u.String(), "private"
	return owner
}

func (w *world) exec(databaseURL, sql string) {
	w.t.Helper()
	if err := outboxtest.Exec(w.t.Context(), databaseURL, sql); err != nil {
		w.t.Fatal(err)
	}
}

// env changes a line of fly.toml's [env].
func (w *world) env(name, value string) { w.toml["env"].(map[string]any)[name] = value }

// command is one deploy of a revision, short of running it.
func (w *world) command(revision string, out io.Writer, args ...string) command {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "fly.toml")
	text, err := toml.Marshal(w.toml)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	secrets := maps.Clone(w.secrets)
	return command{
		args: append([]string{"-config", path, "-url", w.fly.URL(), "-revision", revision}, args...),
		getenv: func(name string) string {
			if value, ok := secrets[name]; ok {
				return value
			}
			return w.fly.Getenv(name)
		},
		in: strings.NewReader(""), out: out, make: w.make,
		tune: func(d *deployer) { hurry(d); w.tune(d) },
	}
}

// hurry shortens every wait: this Fly is quick, though the machine may be busy.
func hurry(d *deployer) {
	d.patience, d.pace, d.ttl, d.leaseWait = 60*time.Second, 15*time.Millisecond, 2*time.Second, 6*time.Second
	d.rounds = 10
}

// deploy runs one and returns what it said.
func (w *world) deploy(revision string, args ...string) (said string, err error) {
	w.t.Helper()
	var out bytes.Buffer
	err = w.command(revision, &out, append([]string{"-yes"}, args...)...).run(w.t.Context())
	w.t.Logf("deploy %s: %v\n%s", short(revision), err, out.String())
	return out.String(), err
}

// must deploys, and fails the test if that does.
func (w *world) must(revision string, args ...string) (said string) {
	w.t.Helper()
	said, err := w.deploy(revision, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return said
}

// wake sends a wake-up to the app, as pg_net does, and returns the version that took it.
func (w *world) wake() (status int, version string) {
	w.t.Helper()
	return w.post(wakeupBody)
}

func (w *world) post(body string) (status int, version string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.fly.URL()+"/webhooks/supabase", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secretOne)
	req.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode, answer.Header.Get("Roomcast-Version")
}

// serves checks that the app answers, and with which version.
func (w *world) serves(version string) {
	w.t.Helper()
	if status, got := w.wake(); status != http.StatusAccepted || got != version {
		w.t.Errorf("a wake-up is answered with %d by version %s, want 202 by %s", status, got, version)
	}
}

// states are those of the machines, in order of creation.
func (w *world) states() (states []string) {
	for _, m := range w.fly.Machines(appName) {
		states = append(states, m.State)
	}
	return states
}

// finished checks what is true after every deploy, good or bad: the machines are all
// of one version, seen to work, of one image, and nobody holds a lease.
func (w *world) finished(version string, count int) {
	w.t.Helper()
	machines := w.fly.Machines(appName)
	if len(machines) != count {
		w.t.Fatalf("%d machines, want %d: %+v", len(machines), count, machines)
	}
	for i, m := range machines {
		if m.Metadata[metaVersion] != version || m.Image != machines[0].Image || m.Leased {
			w.t.Errorf("machine %d is %+v, want version %s", i, m, version)
		}
		if m.Metadata[metaVerified] != m.Metadata[metaConfig] || m.Metadata[metaVerified] == "" {
			w.t.Errorf("machine %d was not seen to work: %+v", i, m)
		}
	}
}

// contains checks what was said.
func contains(t *testing.T, said string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(said, part) {
			t.Errorf("nothing was said of %q", part)
		}
	}
}
