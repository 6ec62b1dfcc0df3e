package main

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The repository has layers. A package imports only from layers below its own, so what
// is low can be read without what is high; functions never import each other, so each
// can be read alone, moved, or thrown away.
//
// Test helpers are a layer of their own between the libraries and the functions: tests
// of every layer may use them, the program may not (see TestFunctionStaysLean).
func layerOf(pkg string) int {
	helper := func() bool {
		for _, dir := range []string{"outboxtest", "pushertest", "tokentest", "lambdatest", "realtimetest", "chromiumtest"} {
			if strings.Contains(pkg+"/", "/"+dir+"/") {
				return true
			}
		}
		return false
	}
	switch {
	case pkg == "roomcast/shared/event", pkg == "roomcast/shared/recent":
		return 0
	case helper():
		return 2
	case strings.HasPrefix(pkg, "roomcast/shared/"):
		return 1
	case strings.HasPrefix(pkg, "roomcast/functions/"):
		return 3
	case pkg == "roomcast/functions":
		return 4
	case strings.HasPrefix(pkg, "roomcast/infra/"):
		return 5
	}
	return -1
}

// onOutbox names the shared packages that ask more of the database that package outbox
// opens, and which of their own layer they stand on.
var onOutbox = map[string][]string{
	"roomcast/shared/access": {"roomcast/shared/outbox"},
	"roomcast/shared/audit":  {"roomcast/shared/outbox"},
	"roomcast/shared/admin":  {"roomcast/shared/outbox", "roomcast/shared/access"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

// list runs go list and returns the packages it names.
func list(t *testing.T, args ...string) (out []goPackage) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports,Standard"}, args...)...)
	cmd.Dir = ".."
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(text))); dec.More(); {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func TestLayers(t *testing.T) {
	packages := list(t, "./...")
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages only", len(packages))
	}
	for _, p := range packages {
		layer := layerOf(p.ImportPath)
		if layer < 0 {
			t.Errorf("%s is of no layer: put it under functions/, shared/ or infra/", p.ImportPath)
		}
		for _, imported := range p.Imports {
			if layer == 0 && strings.Contains(imported, ".") {
				t.Errorf("%s imports %s: layer 0 knows the standard library only", p.ImportPath, imported)
			}
			if !strings.HasPrefix(imported, "roomcast/") || sameGroup(p.ImportPath, imported) {
				continue
			}
			if layerOf(imported) >= layer && !slices.Contains(onOutbox[p.ImportPath], imported) {
				t.Errorf("%s (layer %d) imports %s (layer %d)", p.ImportPath, layer, imported, layerOf(imported))
			}
		}
	}
}

// sameGroup: test helpers and infra are made of several packages that belong
// together; a helper's parts may use each other, and so may infra's.
func sameGroup(a, b string) bool {
	return layerOf(a) == layerOf(b) && (layerOf(a) == 2 || layerOf(a) == 5)
}

// The program has nothing in it that only tests, the local stack or the deployment
// need.
func TestFunctionStaysLean(t *testing.T) {
	for _, p := range list(t, "-deps", "-tags", "lambda.norpc,nethttpomithttp2", "./functions") {
		for _, unwanted := range []string{"superfly/fly-go", "embedded-postgres", "chromedp", "go-containerregistry", "net/rpc"} {
			if strings.Contains(p.ImportPath, unwanted) {
				t.Errorf("the function binary contains %s", p.ImportPath)
			}
		}
		if p.ImportPath == "testing" || layerOf(p.ImportPath) == 2 || layerOf(p.ImportPath) == 5 {
			t.Errorf("the function binary contains %s", p.ImportPath)
		}
	}
}
