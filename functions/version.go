package main

import (
	"net/http"
	"runtime/debug"
)

// revision is the commit this binary was built from. The linker sets it
// (-ldflags "-X main.revision=<commit>", see infra/deploy and infra/Dockerfile),
// and nothing else ever does. The build info of the go command would tell it too,
// but it also tells whether the tree was modified and when it was committed, and
// is absent from a build outside of a checkout: with -buildvcs=false and this, the
// same commit gives the same bytes everywhere.
var revision string

// versionHeader is set on every answer, so that a deploy can ask any route, the
// webhook included, which version it reached.
const versionHeader = "Roomcast-Version"

// version is the commit the binary was built from, as far as it knows.
func version() string {
	if revision != "" {
		return revision
	}
	if info, ok := debug.ReadBuildInfo(); ok { // go run, go build in a checkout
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				return setting.Value
			}
		}
	}
	return "unknown"
}

// versioned tells the version with every answer of next.
func versioned(next http.Handler) http.Handler {
	v := version()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(versionHeader, v)
		next.ServeHTTP(w, r)
	})
}
