// Build makes the client's modules and their types out of shared/browser/src, and writes
// them to shared/browser, where they are committed: the function serves them and npm
// packs them. Run it with `go generate ./shared/browser`.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

const notice = "// Built from shared/browser/src by `go generate ./shared/browser`: edit there.\n"

// entries are the modules of the package; those of frameworks are separate, so that
// nobody loads one for another.
func entries() []string { return []string{"roomcast", "receipts", "react", "vue", "svelte"} }

// parts are loaded by import() from the first module, where a page needs them. A part's
// name has its content's hash: a page that was opened before a deployment never gets
// another version's, and browsers keep what they have for good.
func parts() []string { return []string{"move"} }

func main() {
	if err := run(".."); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// run writes every built file into dir, which is shared/browser.
func run(dir string) error {
	built, err := modules(dir)
	if err != nil {
		return err
	}
	types, err := declarations(dir)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, "parts")); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "parts"), 0o755); err != nil {
		return err
	}
	for _, files := range []map[string][]byte{built, types} {
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// modules bundles and minifies the parts and then each entry, which names them, to one ES
// module each. Its result depends on the sources and esbuild's version only.
func modules(dir string) (map[string][]byte, error) {
	short, err := privateNames(filepath.Join(dir, "src"))
	if err != nil {
		return nil, err
	}
	out, names := map[string][]byte{}, map[string]string{}
	for _, part := range parts() {
		content, err := bundle(dir, part, short, nil)
		if err != nil {
			return nil, err
		}
		names["./"+part+".js"] = fmt.Sprintf("./parts/%s-%.4x.js", part, sha256.Sum256(content))
		out[names["./"+part+".js"]] = content
	}
	for _, entry := range entries() {
		content, err := bundle(dir, entry, short, names)
		if err != nil {
			return nil, err
		}
		out[entry+".js"] = content
	}
	return out, nil
}

// bundle makes one module of a source and all that it imports, with short names for the
// properties in short; import() of a part is left to the browser, under the part's name.
func bundle(dir, name, short string, names map[string]string) ([]byte, error) {
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{filepath.Join(dir, "src", name+".ts")},
		Bundle:      true, MinifySyntax: true, MinifyWhitespace: true, MinifyIdentifiers: true,
		Format: api.FormatESModule, Target: api.ES2022, Charset: api.CharsetUTF8,
		External:    []string{"react", "vue", "svelte/store"},
		MangleProps: short,
		// One setting for all: the rest of tsconfig.json is the compiler's.
		TsconfigRaw: `{"compilerOptions":{"useDefineForClassFields":false}}`,
		Plugins:     []api.Plugin{loadsParts(names)},
		Write:       false,
	})
	for _, message := range result.Errors {
		return nil, fmt.Errorf("%s: %s", name, message.Text)
	}
	if len(result.OutputFiles) != 1 {
		return nil, fmt.Errorf("%s: %d files in place of one", name, len(result.OutputFiles))
	}
	return append([]byte(header(name)), result.OutputFiles[0].Contents...), nil
}

var (
	comments    = regexp.MustCompile(`(?s)/\*.*?\*/|(?:^|\s)//[^\n]*`)
	taken       = regexp.MustCompile(`(?:const|let) \{[^{}]*\} = this\n`)
	declaration = regexp.MustCompile(`private (?:readonly |async )*(\w+)`)
	word        = regexp.MustCompile(`\w+`)
)

// privateNames returns a pattern for the names of private properties: nobody outside can
// see them, and esbuild shortens them. It shortens a name wherever it stands, so that one
// is left alone which stands anywhere but in its declaration and behind "this.": it may be
// somebody else's there, such as pusher-js's or that of an answer.
func privateNames(src string) (string, error) {
	files, err := filepath.Glob(filepath.Join(src, "*.ts"))
	if err != nil {
		return "", err
	}
	seen, own := map[string]int{}, map[string]int{}
	var names []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		text := taken.ReplaceAllString(comments.ReplaceAllString(string(source), ""), "")
		for _, at := range word.FindAllStringIndex(text, -1) {
			name := text[at[0]:at[1]]
			seen[name]++
			if strings.HasSuffix(text[:at[0]], "this.") {
				own[name]++
			}
		}
		for _, found := range declaration.FindAllStringSubmatch(text, -1) {
			own[found[1]]++
			names = append(names, found[1])
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return seen[name] != own[name] })
	slices.Sort(names)
	return "^(" + strings.Join(slices.Compact(names), "|") + ")$", nil
}

func loadsParts(names map[string]string) api.Plugin {
	return api.Plugin{Name: "parts", Setup: func(build api.PluginBuild) {
		build.OnResolve(api.OnResolveOptions{Filter: `^\./`}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
			if args.Kind != api.ResolveJSDynamicImport {
				return api.OnResolveResult{}, nil
			}
			if names[args.Path] == "" {
				return api.OnResolveResult{}, fmt.Errorf("%s is not among the parts", args.Path)
			}
			return api.OnResolveResult{Path: names[args.Path], External: true}, nil
		})
	}}
}

// header goes before a module. A hook's has Next's mark: it runs in the browser.
func header(name string) string {
	if name == "react" {
		return "'use client'\n" + notice
	}
	return notice
}

var errTypeScript = errors.New("run `npm ci` in shared/browser: TypeScript is missing")

// declarations has tsc write each source's types, and makes one file for each entry:
// roomcast.d.ts holds all of an app's types, the others import from it.
func declarations(dir string) (map[string][]byte, error) {
	tsc, err := filepath.Abs(filepath.Join(dir, "node_modules", "typescript", "bin", "tsc"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(tsc); err != nil {
		return nil, errTypeScript
	}
	temp, err := os.MkdirTemp("", "roomcast-types")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	cmd := exec.Command("node", tsc, "-p", ".", "--outDir", temp)
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("tsc: %w\n%s", err, output)
	}
	out := map[string][]byte{}
	for _, name := range append([]string{"list"}, entries()...) {
		parts := []string{name}
		if name == "roomcast" {
			parts = []string{"types", "channel", "roomcast"}
		}
		if out[name+".d.ts"], err = joinDeclarations(temp, parts); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// joinDeclarations concatenates .d.ts files that import from each other only, and makes
// other imports of types come from the package's main module.
func joinDeclarations(dir string, parts []string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(notice)
	for _, part := range parts {
		text, err := os.ReadFile(filepath.Join(dir, part+".d.ts"))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			imports := strings.HasPrefix(line, "import ") || strings.HasPrefix(line, "export *") || strings.HasPrefix(line, "export {")
			if imports && (len(parts) > 1 || strings.HasPrefix(line, "export {}")) {
				continue
			}
			b.WriteString(strings.Replace(line, "'./types.js'", "'./roomcast.js'", 1))
		}
	}
	return b.Bytes(), nil
}
