package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// childRole makes this test binary the deploy program, with an image that is made
// already, so that it can be killed.
const childRole = "ROOMCAST_DEPLOY_TEST"

// programsDir is where all tests keep what their machines run.
const programsDir = "ROOMCAST_DEPLOY_PROGRAMS"

func TestMain(m *testing.M) {
	if path := os.Getenv(childRole); path != "" {
		asChild(path)
	}
	dir, err := os.MkdirTemp("", "roomcast-deploy-test-")
	if err != nil {
		panic(err)
	}
	os.Setenv(programsDir, dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// asChild is main with the image in a directory.
func asChild(path string) {
	c := command{args: os.Args[1:], getenv: os.Getenv, in: strings.NewReader(""), out: os.Stdout, tune: hurry,
		make: func(context.Context, string, string) (v1.Image, error) { return load(path) }}
	if err := c.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// save and load keep an image as it is, compressed layers and all.
func save(path string, img v1.Image) error {
	dir, err := layout.Write(path, empty.Index)
	if err != nil {
		return err
	}
	return dir.AppendImage(img)
}

func load(path string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	return index.Image(manifest.Manifests[0].Digest)
}

// killed runs a deploy as a process and kills it as soon as Fly has been asked for
// the nth change.
func (w *world) killed(revision string, nth int) {
	w.t.Helper()
	img, err := ready(w.t.Context(), "", revision)
	if err != nil {
		w.t.Fatal(err)
	}
	path := w.t.TempDir() + "/image"
	if err := save(path, img); err != nil {
		w.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	var out bytes.Buffer
	c := w.command(revision, &out, "-yes")
	cmd := exec.Command(self, c.args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), childRole+"="+path)
	for _, name := range append(secretNames(), "FLY_API_TOKEN", "FLY_REGISTRY_HOST", "FLY_API_BASE_URL", "FLY_FLAPS_BASE_URL") {
		if value := c.getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	before := len(w.fly.Requests())
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.fly.Wait(w.t, fmt.Sprintf("request %d", nth), func() bool { return len(w.fly.Requests()) >= before+nth })
	_ = cmd.Process.Kill()
	err = cmd.Wait()
	w.fly.Wait(w.t, "the last request to be done", w.fly.Idle)
	w.t.Logf("killed at %v: %v\n%s", w.fly.Requests()[before:], err, out.String())
	if err == nil {
		w.t.Errorf("the deploy was over before its request %d", nth)
	}
}

// A deploy that was killed at any point is continued by the next one, and ends as
// if nothing had been. The numbers count the changes asked of Fly.
func TestKilledDeployIsContinued(t *testing.T) {
	for _, nth := range []int{1, 4, 5, 8} { // app, secrets, machine 1, its stop
		t.Run(fmt.Sprintf("first deploy, request %d", nth), func(t *testing.T) {
			w := newWorld(t)
			w.killed(versionA, nth)
			w.must(versionA)
			w.finished(versionA, 2)
			contains(t, w.must(versionA), "Nothing to do.")
			w.serves(versionA)
		})
	}
	for _, nth := range []int{1, 4} { // machine 1 updated, machine 2 updated
		t.Run(fmt.Sprintf("update, request %d", nth), func(t *testing.T) {
			w := newWorld(t)
			w.must(versionA)
			w.killed(versionB, nth)
			w.must(versionB)
			w.finished(versionB, 2)
			w.serves(versionB)
		})
	}
}

// An update that was killed before it was seen to work, and does not, goes back to
// what the other machine still has.
func TestKilledBadUpdateIsRolledBack(t *testing.T) {
	w := newWorld(t)
	w.must(versionA)
	w.env("LOG_LEVEL", "loud")
	w.killed(versionB, 1)
	said, err := w.deploy(versionB)
	if !errors.Is(err, errRolledBack) {
		t.Fatalf("deploy: %v", err)
	}
	contains(t, said, "back on version "+short(versionA))
	w.finished(versionA, 2)
	w.serves(versionA)
}

// A signal turns a deploy around: what was touched is put back.
func TestInterruptedDeployIsRolledBack(t *testing.T) {
	w := newWorld(t)
	w.must(versionA)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	done := make(chan error)
	go func() { done <- w.command(versionB, &out, "-yes").run(ctx) }()
	w.fly.Wait(t, "an update", func() bool { return w.fly.Machines(appName)[0].Metadata[metaVersion] == versionB })
	cancel()
	if err := <-done; !errors.Is(err, errRolledBack) || !errors.Is(err, context.Canceled) {
		t.Fatalf("deploy: %v\n%s", err, out.String())
	}
	w.finished(versionA, 2)
	w.serves(versionA)
}
