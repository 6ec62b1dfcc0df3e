// Package apps installs the client's npm package in apps as people make them, by
// create-vite and create-next-app, and has these build and lint a chat with it: types,
// ES modules, server rendering and the rules of hooks are theirs, not ours.
package apps

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// switchedOn: it installs some hundred packages and takes minutes.
const switchedOn = "TEST_APPS"

// app is a kind of app: how it is made, where its page goes, and how it is checked.
type app struct {
	name   string
	create []string
	page   string            // where the page goes; the chat lies beside it
	checks map[string]string // by command: what the output must not hold, besides failing
}

func kinds() []app {
	return []app{
		{
			"vite", []string{"npx", "--yes", "create-vite@9.3.0", "app", "--template", "react-ts", "--no-interactive"},
			"src/App.tsx", map[string]string{"npm run build": "", "npm run lint": "warning"},
		},
		{
			"next", []string{"npx", "--yes", "create-next-app@16.4.3", "app", "--ts", "--eslint", "--app", "--empty", "--no-tailwind", "--src-dir",
				"--skip-install", "--disable-git", "--import-alias", "@/*", "--use-npm", "--yes"},
			"src/app/page.tsx", map[string]string{"npm run build": "", "npm run lint": "warning"},
		},
	}
}

func TestAppsBuild(t *testing.T) {
	if os.Getenv(switchedOn) == "" {
		t.Skip("task check:apps runs it")
	}
	packed := pack(t)
	for _, kind := range kinds() {
		t.Run(kind.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, dir, kind.create...)
			dir = filepath.Join(dir, "app")
			copyIn(t, kind.name+".tsx", filepath.Join(dir, kind.page))
			for _, file := range []string{"chat.tsx", "rooms.ts"} {
				copyIn(t, file, filepath.Join(dir, filepath.Dir(kind.page), file))
			}
			must(t, dir, "npm", "install", "--no-audit", "--no-fund", packed, "pusher-js@8.6.0", "@supabase/supabase-js@2.119.1")
			for command, unwanted := range kind.checks {
				out := must(t, dir, strings.Fields(command)...)
				if unwanted != "" && strings.Contains(strings.ReplaceAll(out, "0 warnings", ""), unwanted) {
					t.Errorf("%s:\n%s", command, out)
				}
			}
			for _, name := range []string{"roomcast.js", "parts", "react.js", "receipts.js"} {
				if _, err := os.Stat(filepath.Join(dir, "node_modules", "roomcast", name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// pack makes the package as it would be published.
func pack(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, "../../shared/browser", "npm", "pack", "--silent", "--pack-destination", dir)
	found, err := filepath.Glob(filepath.Join(dir, "roomcast-*.tgz"))
	if err != nil || len(found) != 1 {
		t.Fatalf("npm pack made %v, %v", found, err)
	}
	return found[0]
}

func copyIn(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", from))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// must runs a command in a directory and returns what it said.
func must(t *testing.T, dir string, command ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "NEXT_TELEMETRY_DISABLED=1", "CI=true")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}
