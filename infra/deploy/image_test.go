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

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"roomcast/shared/runtime/lambdatest"
)

// The same commit gives the same digest, whatever directory it lies in; another
// version gives another, or it would not be in there.
func TestSameCommitSameDigest(t *testing.T) {
	digest := func(root, revision string) v1.Hash {
		t.Helper()
		img, err := makeImage(t.Context(), root, revision)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return digest
	}
	one := digest(export(t, "here"), versionA)
	elsewhere := export(t, "another/checkout")
	if two := digest(elsewhere, versionA); one != two {
		t.Errorf("digests %v and %v", one, two)
	}
	if three := digest(elsewhere, versionB); three == one {
		t.Error("another version has the same digest")
	}
}

// export writes what the function is built from, as it was committed last, to a
// directory of that name.
func export(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "commit.tar")
	for _, args := range [][]string{
		{"git", "-C", "../..", "archive", "-o", archive, "HEAD", "functions", "shared", "go.mod", "go.sum"},
		{"tar", "-x", "-f", archive, "-C", dir},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", args[0], err, out)
		}
	}
	return dir
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

// bare is the program of a zip or an image with its configuration and nothing around.
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

// packed makes the zip of a checkout for a processor.
func packed(t *testing.T, root, arch string) string {
	t.Helper()
	dir := t.TempDir()
	var out bytes.Buffer
	c := command{args: []string{"lambda", "-o", dir, "-root", root, "-allow-dirty", "-arch", arch}, out: &out}
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	contains(t, out.String(), "roomcast-lambda-"+arch+".zip: version ")
	return filepath.Join(dir, "roomcast-lambda-"+arch+".zip")
}

// TestLambdaZipForARM packs a program that does nothing: the function itself would
// compile all that it imports once more. The workflow packs it, for every release.
func TestLambdaZipForARM(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module roomcast\n\ngo 1.26\n", "functions/main.go": "package main\n\nvar revision string\n\nfunc main() { println(revision) }\n",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "--allow-empty", "-m", "one"}} {
		if out, err := exec.Command("git", append([]string{"-C", root}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git: %v: %s", err, out)
		}
	}
	unpackZip(t, packed(t, root, "arm64"), elf.EM_AARCH64)
}

// The zip holds the program as Lambda wants it, and the program is run against
// Lambda's runtime API, with the events of a Function URL and of API Gateway.
func TestLambdaZip(t *testing.T) {
	path := unpackZip(t, packed(t, "../..", "amd64"), elf.EM_X86_64)
	api := lambdatest.New(t)
	api.Start(t, bare(t, path, "PORT=0", "METRICS_PORT=0"))
	for name, event := range map[string]func(*http.Request) []byte{
		"Function URL": func(r *http.Request) []byte { return lambdatest.FunctionURL(t, r) },
		"API Gateway":  func(r *http.Request) []byte { return lambdatest.APIGateway(t, r, "prod") },
	} {
		wake := httptest.NewRequest(http.MethodPost, "/webhooks/supabase", strings.NewReader(wakeupBody))
		wake.Header.Set("Authorization", "Bearer "+secretOne)
		wake.Header.Set("Content-Type", "application/json")
		for _, r := range []*http.Request{wake, httptest.NewRequest(http.MethodGet, "/healthz", nil)} {
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
	if !archive.File[0].Modified.Equal(time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%s tells when it was packed: %s", from, archive.File[0].Modified)
	}
	path := filepath.Join(t.TempDir(), "bootstrap")
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Cloud Run and Knative tell a container where to listen (PORT), and nothing else;
// they end it by SIGTERM. The metrics port is moved only since this computer is shared.
func TestOnlyPortIsNeeded(t *testing.T) {
	text, err := build(t.Context(), "../..", goarch, versionA)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "roomcast")
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
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
