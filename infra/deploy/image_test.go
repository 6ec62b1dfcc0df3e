package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/x509"
	"debug/elf"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"roomcast/shared/runtime/lambdatest"
)

// The same commit gives the same digest, whatever directory it lies in.
func TestSameCommitSameDigest(t *testing.T) {
	here, err := imageA()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "another", "checkout")
	if err := os.MkdirAll(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"functions", "shared", "go.mod", "go.sum"} {
		if out, err := exec.CommandContext(t.Context(), "cp", "-r", filepath.Join("../..", part), elsewhere).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	there, err := makeImage(t.Context(), elsewhere, versionA)
	if err != nil {
		t.Fatal(err)
	}
	one, err1 := here.Digest()
	two, err2 := there.Digest()
	if err1 != nil || err2 != nil || one != two {
		t.Errorf("digests %v (%v) and %v (%v)", one, err1, two, err2)
	}
	other, err := imageB()
	if err != nil {
		t.Fatal(err)
	}
	if three, _ := other.Digest(); three == one {
		t.Error("another commit has the same digest: the version is not in it")
	}
}

// The image runs anywhere that has a kernel: one layer, a static program that nobody
// in particular runs, and authorities to trust.
func TestImage(t *testing.T) {
	img, err := imageA()
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if file.Config.User != nobody || file.Config.Entrypoint[0] != "/roomcast" || file.OS != "linux" || len(file.RootFS.DiffIDs) != 1 {
		t.Errorf("config is %+v", file)
	}
	content := map[string][]byte{}
	layers := mutate.Extract(img)
	defer layers.Close()
	for archive := tar.NewReader(layers); ; {
		head, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if content[head.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
		if !head.ModTime.Equal(time.Unix(0, 0)) || head.Uid != 0 {
			t.Errorf("%s has time %s, owner %d", head.Name, head.ModTime, head.Uid)
		}
	}
	program, err := elf.NewFile(bytes.NewReader(content["roomcast"]))
	if err != nil {
		t.Fatal(err)
	}
	if libraries, err := program.ImportedLibraries(); len(libraries) > 0 {
		t.Errorf("the program is not static: %v, %v", libraries, err)
	}
	if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM(content[rootsPath]) {
		t.Error("no certificate authorities")
	}
	if n := bytes.Count(content[rootsPath], []byte("BEGIN CERTIFICATE")); n < 100 {
		t.Errorf("%d certificate authorities, want all of Mozilla's", n)
	}
}

// The Dockerfile, for `fly deploy`, builds what `task deploy` builds.
func TestDockerfileBuildsTheSame(t *testing.T) {
	raw, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(string(raw), "")
	args := buildFlags("${REVISION}", "/roomcast")
	for i, arg := range args {
		if strings.Contains(arg, " ") {
			args[i] = `"` + arg + `"`
		}
	}
	contains(t, text, "go "+strings.Join(args, " "), "USER "+nobody, `ENTRYPOINT ["/roomcast"]`, "/"+rootsPath, "CGO_ENABLED=0 GOOS=linux GOAMD64=v1")
	settings, err := readSettings("../../fly.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{settings.Build.Dockerfile, settings.Build.Ignorefile} {
		if _, err := os.Stat(filepath.Join("../..", path)); err != nil {
			t.Error(err)
		}
	}
}

// run starts the program of a zip or an image with nothing around it.
func bare(t *testing.T, path string, env ...string) *exec.Cmd {
	t.Helper()
	w := newWorld(t)
	cmd := exec.Command(path)
	cmd.Env = append(env, "LISTEN_HOST=127.0.0.1")
	for name, value := range w.secrets {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// packed makes the zip for a processor.
func packed(t *testing.T, arch string) string {
	t.Helper()
	dir := t.TempDir()
	var out bytes.Buffer
	c := command{args: []string{"lambda", "-o", dir, "-root", "../..", "-allow-dirty", "-arch", arch}, out: &out}
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	contains(t, out.String(), "roomcast-lambda-"+arch+".zip: version ")
	return filepath.Join(dir, "roomcast-lambda-"+arch+".zip")
}

func TestLambdaZipForARM(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the standard library once more if the build cache is empty")
	}
	unpackZip(t, packed(t, "arm64"), elf.EM_AARCH64)
}

// The zip holds the program as Lambda wants it, and the program is run against
// Lambda's runtime API, with the events of a Function URL and of API Gateway.
func TestLambdaZip(t *testing.T) {
	path := unpackZip(t, packed(t, "amd64"), elf.EM_X86_64)
	api := lambdatest.New(t)
	api.Start(t, bare(t, path, "PORT=0", "METRICS_PORT=0"))
	for name, event := range map[string]func(*http.Request) []byte{
		"Function URL": func(r *http.Request) []byte { return lambdatest.FunctionURL(t, r) },
		"API Gateway":  func(r *http.Request) []byte { return lambdatest.APIGateway(t, r, "prod") },
	} {
		ring := httptest.NewRequest(http.MethodPost, "/webhooks/supabase", strings.NewReader(bell))
		ring.Header.Set("Authorization", "Bearer "+secretOne)
		ring.Header.Set("Content-Type", "application/json")
		for _, r := range []*http.Request{ring, httptest.NewRequest(http.MethodGet, "/healthz", nil)} {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			result, err := api.Invoke(ctx, event(r), 10*time.Second)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			answer, err := result.Response()
			if err != nil || answer.StatusCode/100 != 2 || answer.Header.Get("Roomcast-Version") == "" {
				t.Errorf("%s: %s is answered with %+v, %v", name, r.URL.Path, answer, err)
			}
		}
	}
}

// unpackZip checks a zip and returns the path of its program.
func unpackZip(t *testing.T, from string, machine elf.Machine) string {
	t.Helper()
	archive, err := zip.OpenReader(from)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	if len(archive.File) != 1 || archive.File[0].Name != "bootstrap" || archive.File[0].Mode() != 0o755 {
		t.Fatalf("%s holds %v", from, archive.File)
	}
	file, err := archive.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	if program, err := elf.NewFile(bytes.NewReader(text)); err != nil || program.Machine != machine {
		t.Fatalf("%s holds a program for another machine: %v", from, err)
	}
	if again, err := lambdaZip(text); err != nil || !bytes.Equal(again, read(t, from)) {
		t.Errorf("%s: packing the same program again gives other bytes (%v)", from, err)
	}
	path := filepath.Join(t.TempDir(), "bootstrap")
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Cloud Run and Knative tell a container where to listen (PORT), and nothing else;
// they end it by SIGTERM. The metrics port is moved only since this computer is shared.
func TestOnlyPortIsNeeded(t *testing.T) {
	program := unpackZip(t, packed(t, "amd64"), elf.EM_X86_64)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	cmd := bare(t, program, "PORT="+port, "METRICS_PORT=0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	limited, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = waitFor(limited, 10*time.Millisecond, func() (bool, error) {
		answer, err := http.Get("http://" + address + "/healthz")
		if err != nil {
			return false, nil // not listening yet
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}
