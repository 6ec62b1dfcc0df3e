// Command portable type-checks this module, tests included, for other operating systems.
//
//	go run ./infra/portable windows darwin
//
// It is what `GOOS=windows go vet ./...` would say of names and types, in a tenth of its
// time: what the module imports is read from source, without function bodies, and not
// compiled. The workflow runs the real vet.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/tools/go/packages"
)

func main() {
	if err := run(os.Stderr, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "portable:", err)
		os.Exit(1)
	}
}

var errFound = errors.New("it does not compile everywhere")

func run(out io.Writer, systems []string) error {
	var all error
	for _, system := range systems {
		found, err := check(out, system, "./...")
		if err != nil {
			return err
		}
		if found > 0 {
			all = errors.Join(all, fmt.Errorf("%s: %d errors: %w", system, found, errFound))
		}
	}
	return all
}

// check prints what is wrong with the packages on an operating system, and counts it.
func check(out io.Writer, system string, patterns ...string) (found int, err error) {
	config := &packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports |
			packages.NeedDeps | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedSyntax,
		Env:   append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0"),
		Tests: true,
	}
	list, err := packages.Load(config, patterns...)
	if err != nil {
		return 0, err
	}
	for _, p := range list {
		for _, e := range p.Errors {
			found++
			fmt.Fprintf(out, "%s: %v\n", system, e)
		}
	}
	return found, nil
}
