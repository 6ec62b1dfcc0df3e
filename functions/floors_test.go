package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// The house has floors. A package imports only from floors below its own, so what
// stands low can be read without what stands high; handlers never import each
// other, so each can be read alone, moved, or thrown away.
//
// Test helpers stand between the libraries and the handlers: tests on every floor
// may use them, the program may not (see TestFunctionStaysLean).
func floorOf(pkg string) int {
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

func TestFloors(t *testing.T) {
	packages := list(t, "./...")
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages only", len(packages))
	}
	for _, p := range packages {
		floor := floorOf(p.ImportPath)
		if floor < 0 {
			t.Errorf("%s stands on no floor: put it under functions/, shared/ or infra/", p.ImportPath)
		}
		for _, imported := range p.Imports {
			if floor == 0 && strings.Contains(imported, ".") {
				t.Errorf("%s imports %s: floor 0 knows the standard library only", p.ImportPath, imported)
			}
			if !strings.HasPrefix(imported, "roomcast/") || sameHouse(p.ImportPath, imported) {
				continue
			}
			if floorOf(imported) >= floor {
				t.Errorf("%s (floor %d) imports %s (floor %d)", p.ImportPath, floor, imported, floorOf(imported))
			}
		}
	}
}

// sameHouse: test helpers and infra are made of several packages that belong
// together; a helper's parts may use each other, and so may infra's.
func sameHouse(a, b string) bool {
	return floorOf(a) == floorOf(b) && (floorOf(a) == 2 || floorOf(a) == 5)
}

// The program has nothing in it that only tests, the local stack or the deployment
// need.
func TestFunctionStaysLean(t *testing.T) {
	for _, p := range list(t, "-deps", "-tags", "lambda.norpc", "./functions") {
		for _, unwanted := range []string{"superfly/fly-go", "embedded-postgres", "chromedp", "go-containerregistry", "coder/websocket", "net/rpc"} {
			if strings.Contains(p.ImportPath, unwanted) {
				t.Errorf("the function binary contains %s", p.ImportPath)
			}
		}
		if p.ImportPath == "testing" || floorOf(p.ImportPath) == 2 || floorOf(p.ImportPath) == 5 {
			t.Errorf("the function binary contains %s", p.ImportPath)
		}
	}
}
