package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"roomcast/shared/outbox/outboxtest"
)

// TestFetchedProgramsStart has the programs fetched from a repository of our
// own, which serves the installed ones in embedded-postgres's packaging, and
// starts a cluster with what was unpacked, as root as well as not.
func TestFetchedProgramsStart(t *testing.T) {
	t.Parallel()
	installed, err := outboxtest.FindBin()
	need(t, err)
	_, err = exec.LookPath("xz")
	need(t, err)
	jar := jarOf(t, installed)
	downloads := 0
	repository := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path.Ext(r.URL.Path) {
		case ".jar":
			downloads++
			w.Write(jar)
		case ".sha256":
			sum := sha256.Sum256(jar)
			w.Write([]byte(hex.EncodeToString(sum[:])))
		}
	}))
	defer repository.Close()

	base, err := os.MkdirTemp("", "roomcast-cache-") // not t.TempDir: another user reads it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time they are there
		bin, err := fetchPrograms(t.Context(), filepath.Join(base, "cache", "postgres"), repository.URL)
		if err != nil {
			t.Fatal(err)
		}
		outboxtest.Start(t, outboxtest.Options{Bin: bin})
	}
	if downloads != 1 {
		t.Errorf("%d downloads, want 1", downloads)
	}
	if left, err := os.ReadDir(filepath.Join(base, "cache")); err != nil || len(left) != 1 {
		t.Errorf("left in the cache: %v %v", left, err)
	}
}

func TestFetchFromNowhere(t *testing.T) {
	repository := httptest.NewServer(http.NotFoundHandler())
	defer repository.Close()
	dir := filepath.Join(t.TempDir(), "postgres")
	if _, err := fetchPrograms(t.Context(), dir, repository.URL); err == nil || !strings.Contains(err.Error(), "no version found") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("an empty cache was left")
	}
}

// jarOf packs the server programs and what they load: a zip that holds a tar.xz.
func jarOf(t *testing.T, bin string) []byte {
	t.Helper()
	files := []string{"bin/initdb", "bin/pg_ctl", "bin/postgres", "lib/dict_snowball.so", "lib/plpgsql.so"}
	var plain bytes.Buffer
	archive := tar.NewWriter(&plain)
	for _, name := range files {
		content, err := os.ReadFile(filepath.Join(filepath.Dir(bin), name))
		if errors.Is(err, fs.ErrNotExist) {
			t.Skipf("not Debian's layout: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("xz", "-0", "--check=crc32")
	cmd.Stdin = &plain
	packed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	z := zip.NewWriter(&jar)
	w, err := z.CreateHeader(&zip.FileHeader{Name: "postgres.txz", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(packed); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return jar.Bytes()
}
