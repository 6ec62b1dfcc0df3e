package flytest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	fly "github.com/superfly/fly-go"
	"github.com/superfly/fly-go/flaps"
	"github.com/superfly/fly-go/tokens"
)

// hello is an image of testdata/hello.
func hello(t *testing.T) v1.Image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hello")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./testdata/hello")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	archive := tar.NewWriter(&packed)
	err = errors.Join(archive.WriteHeader(&tar.Header{Name: "hello", Mode: 0o755, Size: int64(len(program))}))
	if _, werr := archive.Write(program); errors.Join(err, werr, archive.Close()) != nil {
		t.Fatal(err, werr)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", "amd64", v1.Config{Entrypoint: []string{"/hello"}, User: "1:1"}
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	return img
}

// scene is a Fly with the app "hello", its image pushed, and fly-go's client.
type scene struct {
	*Server
	t      *testing.T
	ctx    context.Context
	client *flaps.Client
	config *fly.MachineConfig
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{Server: New(t, t.TempDir()), t: t, ctx: t.Context()}
	t.Setenv("FLY_FLAPS_BASE_URL", s.API())
	var err error
	s.client, err = flaps.NewWithOptions(s.ctx, flaps.NewClientOpts{Tokens: tokens.Parse(s.Token)})
	s.ok(err)
	_, err = s.client.CreateApp(s.ctx, flaps.CreateAppRequest{Name: "hello", Org: "personal"})
	s.ok(err)
	img := hello(t)
	repo, err := name.NewRepository(s.Getenv("FLY_REGISTRY_HOST") + "/hello")
	s.ok(err)
	s.ok(remote.Write(repo.Tag("v1"), img, remote.WithAuth(&authn.Basic{Username: "x", Password: s.Token})))
	digest, err := img.Digest()
	s.ok(err)
	s.config = &fly.MachineConfig{
		Image: repo.Digest(digest.String()).String(), Env: map[string]string{"PORT": "8080"}, Metadata: map[string]string{},
		Restart: &fly.MachineRestart{Policy: fly.MachineRestartPolicyOnFailure, MaxRetries: 2},
		Services: []fly.MachineService{{Protocol: "tcp", InternalPort: 8080, Autostart: new(true), Autostop: new(fly.MachineAutostopOff), Ports: []fly.MachinePort{{Port: new(443)}},
			Checks: []fly.MachineServiceCheck{{Type: new("http"), HTTPPath: new("/")}}}},
	}
	return s
}

func (s *scene) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) launch() *fly.Machine {
	s.t.Helper()
	m, err := s.client.Launch(s.ctx, "hello", fly.LaunchMachineInput{Config: s.config, Region: "fra"})
	s.ok(err)
	s.reaches(m.ID, "started")
	return m
}

func (s *scene) reaches(id, state string) {
	s.t.Helper()
	s.Wait(s.t, id+" to be "+state, func() bool { return s.get(id).State == state })
}

func (s *scene) get(id string) *fly.Machine {
	s.t.Helper()
	m, err := s.client.Get(s.ctx, "hello", id)
	s.ok(err)
	return m
}

// status is that of an error of the API; 0 if there is none.
func status(err error) int {
	var refusal *flaps.FlapsError
	if errors.As(err, &refusal) {
		return refusal.ResponseStatusCode
	}
	return 0
}

// visit asks the proxy, and reports whether somebody answered 200.
func (s *scene) visit(path string) bool {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.URL()+path, nil)
	s.ok(err)
	answer, err := http.DefaultClient.Do(req)
	s.ok(err)
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// A machine's exits follow the restart policy, and a request wakes one that sleeps.
func TestRestartPolicy(t *testing.T) {
	s := newScene(t)
	id := s.launch().ID
	if !s.visit("/") {
		t.Error("the machine does not answer")
	}
	s.visit("/exit/0")
	s.reaches(id, "stopped")
	if !s.visit("/") {
		t.Error("a request does not wake the machine")
	}
	ends := func() []*fly.MachineEvent {
		return slices.DeleteFunc(s.get(id).Events, func(e *fly.MachineEvent) bool { return e.Type != "exit" })
	}
	for n := range 3 { // one more than it may be restarted
		s.Wait(t, "a start behind the last end", func() bool { return len(ends()) == 1+n && s.get(id).State == "started" })
		s.visit("/exit/3")
	}
	s.reaches(id, "stopped")
	exits := ends()
	if len(exits) != 4 || exits[0].Request.ExitEvent.ExitCode != 3 || exits[0].Request.ExitEvent.Restarting || !exits[1].Request.ExitEvent.Restarting {
		t.Errorf("%d exits, the last %+v", len(exits), exits[0].Request.ExitEvent)
	}
}

func TestStatesWaitsAndLeases(t *testing.T) {
	s := newScene(t)
	m := s.launch()
	list, err := s.client.List(s.ctx, "hello", "state=stopped")
	s.ok(err)
	if len(list) != 0 {
		t.Errorf("stopped: %d machines", len(list))
	}
	if err := s.client.Wait(s.ctx, "hello", m.ID, flaps.WithWaitStates("stopped"), flaps.WithWaitTimeout(time.Second)); status(err) != http.StatusRequestTimeout {
		t.Errorf("waiting for what does not come: %v", err)
	}
	lease, err := s.client.AcquireLease(s.ctx, "hello", m.ID, new(10))
	s.ok(err)
	if err := s.client.Stop(s.ctx, "hello", fly.StopMachineInput{ID: m.ID}, ""); status(err) != http.StatusConflict {
		t.Errorf("stopping what another leased: %v", err)
	}
	s.ok(s.client.Stop(s.ctx, "hello", fly.StopMachineInput{ID: m.ID}, lease.Data.Nonce))
	s.ok(s.client.Wait(s.ctx, "hello", m.ID, flaps.WithWaitStates("stopped")))
	_, err = s.client.RefreshLease(s.ctx, "hello", m.ID, new(10), lease.Data.Nonce)
	s.ok(err)
	if found, err := s.client.FindLease(s.ctx, "hello", m.ID); err != nil || found.Data.Nonce != lease.Data.Nonce {
		t.Errorf("found %+v, %v", found, err)
	}
	s.ok(s.client.ReleaseLease(s.ctx, "hello", m.ID, lease.Data.Nonce))
	if _, err := s.client.FindLease(s.ctx, "hello", m.ID); status(err) != http.StatusNotFound {
		t.Errorf("a lease given back: %v", err)
	}
}

func TestUpdateSecretsAndDestroy(t *testing.T) {
	s := newScene(t)
	_, err := s.client.UpdateAppSecrets(s.ctx, "hello", map[string]*string{"GREETING": new("good morning"), "OTHER": new("x")})
	s.ok(err)
	set, err := s.client.UpdateAppSecrets(s.ctx, "hello", map[string]*string{"OTHER": nil})
	s.ok(err)
	m := s.launch()
	first := s.get(m.ID).InstanceID
	if _, err := s.client.Update(s.ctx, "hello", fly.LaunchMachineInput{ID: m.ID, Config: s.config, MinSecretsVersion: new(set.Version + 1)}, ""); status(err) != http.StatusBadRequest {
		t.Errorf("an update with secrets that are not there yet: %v", err)
	}
	_, err = s.client.Update(s.ctx, "hello", fly.LaunchMachineInput{ID: m.ID, Config: s.config, MinSecretsVersion: &set.Version}, "")
	s.ok(err)
	s.Wait(t, "the new version", func() bool {
		now := s.get(m.ID)
		return now.State == "started" && now.InstanceID != first && now.AllHealthChecks().Passing == 1
	})
	s.ok(s.client.SetMetadata(s.ctx, "hello", m.ID, "key", "value"))
	if now := s.get(m.ID); now.Config.Metadata["key"] != "value" {
		t.Errorf("metadata: %v", now.Config.Metadata)
	}
	if lines := s.machine(s.app("hello"), m.ID).log.lines(); !slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, "good morning") }) {
		t.Errorf("the machine said %q", lines)
	}
	s.ok(s.client.Destroy(s.ctx, "hello", fly.RemoveMachineInput{ID: m.ID, Kill: true}, ""))
	s.ok(s.client.Wait(s.ctx, "hello", m.ID, flaps.WithWaitStates("destroyed")))
	if machines := s.Machines("hello"); len(machines) != 0 {
		t.Errorf("left: %+v", machines)
	}
}

func TestTokenIsNeeded(t *testing.T) {
	s := newScene(t)
	stranger, err := flaps.NewWithOptions(s.ctx, flaps.NewClientOpts{Tokens: tokens.Parse("fo1_stranger")})
	s.ok(err)
	if _, err := stranger.GetApp(s.ctx, "hello"); status(err) != http.StatusUnauthorized {
		t.Errorf("a stranger: %v", err)
	}
	repo, err := name.NewRepository(s.Getenv("FLY_REGISTRY_HOST") + "/hello")
	s.ok(err)
	if err := remote.Write(repo.Tag("v2"), hello(t)); err == nil {
		t.Error("a stranger may push")
	}
}

// Against Fly's own document (see OfficialDocument) exactly those operations differ in
// which fly-go departs from it, see openapi.yaml.
func TestOfficialDocument(t *testing.T) {
	if os.Getenv(OfficialDocument) == "" {
		t.Skip("set " + OfficialDocument + " to a copy of superfly/docs machines-api/openapi.json")
	}
	s := newScene(t)
	_, err := s.client.AssignIP(s.ctx, "hello", flaps.AssignIPRequest{Type: "v6"})
	s.ok(err)
	_, err = s.client.GetIPAssignments(s.ctx, "hello")
	s.ok(err)
	_, err = s.client.UpdateAppSecrets(s.ctx, "hello", map[string]*string{"GREETING": new("hello")})
	s.ok(err)
	_, err = s.client.ListAppSecrets(s.ctx, "hello", nil, true)
	s.ok(err)
	m := s.launch()
	s.Wait(t, "health", func() bool { return s.get(m.ID).AllHealthChecks().Passing == 1 })
	lease, err := s.client.AcquireLease(s.ctx, "hello", m.ID, new(10))
	s.ok(err)
	_, err = s.client.Update(s.ctx, "hello", fly.LaunchMachineInput{ID: m.ID, Config: s.config}, lease.Data.Nonce)
	s.ok(err)
	s.reaches(m.ID, "started")
	s.ok(s.client.Stop(s.ctx, "hello", fly.StopMachineInput{ID: m.ID}, lease.Data.Nonce))
	s.ok(s.client.Wait(s.ctx, "hello", m.ID, flaps.WithWaitStates("stopped")))
	_, err = s.client.Start(s.ctx, "hello", m.ID, lease.Data.Nonce)
	s.ok(err)
	s.ok(s.client.SetMetadata(s.ctx, "hello", m.ID, "key", "value"))
	s.ok(s.client.ReleaseLease(s.ctx, "hello", m.ID, lease.Data.Nonce))
	_, err = s.client.List(s.ctx, "hello", "state=started")
	s.ok(err)
	s.ok(s.client.Destroy(s.ctx, "hello", fly.RemoveMachineInput{ID: m.ID, Kill: true}, ""))
	found := s.Departures()
	for operation, fault := range found {
		t.Logf("%s: %s", operation, fault)
	}
	operations := strings.Join(slices.Sorted(maps.Keys(found)), ", ")
	if strings.Replace(operations, "/v1", "", 1) != "POST /apps/{app_name}/machines/{machine_id}/lease" {
		t.Errorf("departures in %s", operations)
	}
}
