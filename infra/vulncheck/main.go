// Command vulncheck looks for known vulnerabilities in what this module imports and
// calls, with govulncheck. It fails when there is one. Where the checker or its
// database cannot be reached it says NOT CHECKED and succeeds, since a laptop without a
// network is no vulnerability; with -required it fails.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// tool is pinned like every other dependency. It is not in go.mod, since it is
// younger than some of what it would raise there.
const tool = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"

// found is govulncheck's exit status when there are vulnerabilities; 1 and 2 are its
// own failures.
const found = 3

const limit = 5 * time.Minute

var (
	errFound      = errors.New("there are known vulnerabilities")
	errNotChecked = errors.New("not checked")
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	required := flag.Bool("required", false, "fail where nothing can be checked")
	flag.Parse()
	err := run(ctx, os.Stdout, flag.Args())
	if errors.Is(err, errNotChecked) && !*required {
		err = nil
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vulncheck:", err)
		os.Exit(1)
	}
}

// run checks the packages named, all by default.
func run(ctx context.Context, out io.Writer, packages []string) error {
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	dir, err := os.MkdirTemp("", "roomcast-vulncheck-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// Not `go run`, which hides the exit status.
	install := exec.CommandContext(ctx, "go", "install", tool)
	install.Env = append(os.Environ(), "GOBIN="+dir)
	if text, err := install.CombinedOutput(); err != nil {
		fmt.Fprintf(out, "NOT CHECKED for vulnerabilities: %v: %s\n", err, lastLine(text))
		return errNotChecked
	}
	return check(exec.CommandContext(ctx, filepath.Join(dir, "govulncheck"), packages...), out)
}

// check runs the checker and tells its findings from its failures.
func check(cmd *exec.Cmd, out io.Writer) error {
	text, err := cmd.CombinedOutput()
	exit := (*exec.ExitError)(nil)
	switch {
	case err == nil:
		fmt.Fprintln(out, "no known vulnerabilities")
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == found:
		_, _ = out.Write(text)
		return errFound
	default:
		fmt.Fprintf(out, "NOT CHECKED for vulnerabilities: %v: %s\n", err, lastLine(text))
		return errNotChecked
	}
}

func lastLine(text []byte) []byte {
	text = bytes.TrimSpace(text)
	return text[bytes.LastIndexByte(text, '\n')+1:]
}
