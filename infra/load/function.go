package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"roomcast/infra/child"
)

// functionPackage is the program that all of this is about.
const functionPackage = "functions"

// function starts the function. extra comes after what every scenario shares, and wins.
func (l *lab) function(ctx context.Context, extra ...string) (*program, error) {
	p, err := l.startFunction(ctx, extra...)
	if err != nil {
		return nil, err
	}
	return p, p.healthy(ctx)
}

// startFunction does not wait for it to answer.
func (l *lab) startFunction(ctx context.Context, extra ...string) (*program, error) {
	path, err := l.binary(ctx, functionPackage)
	if err != nil {
		return nil, err
	}
	metrics, err := child.FreePort()
	if err != nil {
		return nil, err
	}
	env := slices.Concat(l.sink.environment(), []string{
		"LISTEN_HOST=127.0.0.1", "METRICS_PORT=" + strconv.Itoa(metrics), "LOG_LEVEL=warn", "IDLE_EXIT=0",
		"WEBHOOK_SECRET=" + bellSecret, "SUPABASE_URL=http://127.0.0.1:9", "SUPABASE_KEY=unused",
	}, extra)
	profile := ""
	if l.profiles() {
		l.profiled++
		profile = filepath.Join(l.dir, fmt.Sprintf("profile-%d", l.profiled))
		env = append(env, profileEnv+"="+profile)
	}
	p, err := l.spawn("function", env, path)
	if err == nil {
		p.profile = profile
	}
	return p, err
}
