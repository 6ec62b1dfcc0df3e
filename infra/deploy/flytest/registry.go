package flytest

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	containers "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// newRegistry is go-containerregistry's own, behind the same token as the API and
// for apps that exist only, as Fly's is.
func (s *Server) newRegistry() http.Handler {
	inner := containers.New(containers.Logger(log.New(io.Discard, "", 0)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "x" || password != s.Token {
			w.Header().Set("WWW-Authenticate", `Basic realm="flytest"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if repo, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/"); repo != "" && s.app(repo) == nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// program is what an image runs.
type program struct {
	path string // of the entry point, on this computer
	env  []string
	ref  name.Digest
}

// pull gets the image's entry point out of the registry, once per image.
func (s *Server) pull(image string) (*program, error) {
	s.mu.Lock()
	known := s.programs[image]
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	img, ref, err := s.image(image)
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	if len(file.Config.Entrypoint) != 1 || file.OS != "linux" || file.Architecture != "amd64" {
		return nil, fmt.Errorf("flytest: cannot run %s/%s %v", file.OS, file.Architecture, file.Config.Entrypoint)
	}
	if user, _, _ := strings.Cut(file.Config.User, ":"); user == "" || user == "0" || user == "root" {
		return nil, errors.New("flytest: the image runs as root")
	}
	p := &program{path: filepath.Join(s.dir, strings.TrimPrefix(ref.DigestStr(), "sha256:")), env: file.Config.Env, ref: ref}
	if _, err := os.Stat(p.path); err != nil {
		if err := unpack(img, file.Config.Entrypoint[0], p.path); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.programs[image] = p
	return p, nil
}

// image finds an image in the registry. Only a digest says for sure what will run.
func (s *Server) image(image string) (v1.Image, name.Digest, error) {
	ref, err := name.NewDigest(image)
	if err != nil {
		return nil, ref, fmt.Errorf("flytest: %w", err)
	}
	img, err := remote.Image(ref, remote.WithAuth(&authn.Basic{Username: "x", Password: s.Token}))
	return img, ref, err
}

// unpack writes one file of the image to disk. Two machines may do so at once, so the
// file appears whole.
func unpack(img v1.Image, entry, to string) error {
	layers := mutate.Extract(img)
	defer layers.Close()
	for archive := tar.NewReader(layers); ; {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("flytest: the image has no %s", entry)
		}
		if err != nil {
			return err
		}
		if path.Clean("/"+head.Name) != entry {
			continue
		}
		file, err := os.CreateTemp(filepath.Dir(to), "pull-")
		if err != nil {
			return err
		}
		_, err = io.Copy(file, archive)
		err = errors.Join(err, file.Chmod(head.FileInfo().Mode()), file.Close())
		return errors.Join(err, os.Rename(file.Name(), to))
	}
}
