package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// errNoNode: the Express worker is a peer only where Node is there.
var errNoNode = errors.New("no Node here")

// express starts the Express worker of peers/, with its packages installed.
func (l *lab) express(ctx context.Context, env ...string) (*program, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, errNoNode
	}
	dir := filepath.Join(l.root, "infra", "load", "peers")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "express")); err != nil {
		l.say("  npm ci in %s", dir)
		if err := l.command(ctx, dir, "npm", "ci"); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoNode, err)
		}
	}
	env = append(append(l.sink.environment(), "NODE_ENV=production", "WEBHOOK_SECRET="+bellSecret), env...)
	return l.serve(ctx, "express worker", env, node, filepath.Join(dir, "worker.js"))
}
