package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"roomcast/infra/child"
)

//go:embed node.mjs
var nodeScript string

// node is all pages in one process of Node.
type node struct {
	process *child.Process
	stdin   io.WriteCloser
}

func openNode(browser string, configs []pageConfig, s *screens, stderr io.Writer) (_ *node, err error) {
	path, err := exec.LookPath("node")
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(struct {
		Browser string       `json:"browser"`
		Pages   []pageConfig `json:"pages"`
	}{browser, configs})
	if err != nil {
		return nil, err
	}
	n := &node{}
	cmd := exec.Command(path, "--input-type=module", "--eval", pageScript+nodeScript)
	cmd.Env, cmd.Stderr = append(os.Environ(), "PAGES="+string(config)), stderr
	if n.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if n.process, err = child.Start(cmd, syscall.SIGTERM); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	go func() { // until their end
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			s.heard(lines.Bytes(), time.Now())
		}
	}()
	return n, nil
}

func (n *node) expect(_ context.Context, page int, id string) error {
	_, err := fmt.Fprintf(n.stdin, "{\"page\":%d,\"id\":%q}\n", page, id)
	return err
}

func (n *node) close() error { return errors.Join(n.stdin.Close(), n.process.Stop(child.KillTimeout)) }
