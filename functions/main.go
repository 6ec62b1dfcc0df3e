// The function: every handler of Roomcast in one program, for Fly Machines that
// start on request, or for Lambda.
//
// It reads its configuration from the environment (config.go), answers the
// routes of routes.go, and between them runs the relay's hot loop.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"time"

	"roomcast/shared/runtime"
	"roomcast/shared/web"
)

func main() {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	if err := run(context.Background(), os.Environ(), os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "roomcast:", err)
		os.Exit(1)
	}
}

// gcPercent lets the heap grow by twice what lives before it is collected. With Go's own
// 100 a heap as small as ours is collected every 4 MB, and profiles of forward-only mode
// showed about a tenth of its CPU in that. The price is memory: a drain's peak was 35 MB
// with it (infra/load, limit 48). It overrides the environment's GOGC.
const gcPercent = 200

// memoryLimit makes the collector run more often as the heap approaches it, in bytes. The
// budgets of admission.go keep live memory below it, and so the process below 64 MB.
const memoryLimit = 48 << 20

// answerFirst is how long the relay leaves a new process to the request that it was started
// for. To connect takes a fifth of the CPU of a start.
const answerFirst = time.Millisecond

// run is the program: it returns nil when it left in order.
func run(ctx context.Context, environ []string, logTo io.Writer) error {
	cfg, err := loadConfig(environ)
	if err != nil {
		return err
	}
	log := newLog(logTo, cfg.LogLevel)
	freezes := runtime.Freezes(lookup(environ))
	if !freezes && !cfg.forwardOnly() {
		cfg.place = takePlace(cfg.FlyMachine, cfg.Port)
		defer cfg.place.leave()
	}
	app, err := assemble(cfg, log, freezes)
	if err != nil {
		return err
	}
	defer app.close()
	log.Info("starting", "version", version(), "config", &cfg)

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	rt := runtime.Config{
		Lambda:          app.freezes,
		LambdaStreaming: cfg.LambdaStreaming,
		Proxied:         cfg.addresses(app.freezes) != web.Addresses{},
		Addr:            cfg.address(cfg.Port),
		MetricsAddr:     cfg.address(cfg.MetricsPort),
		Metrics:         app.metrics,
		IdleExit:        cfg.IdleExit,
		Log:             log,
	}
	if app.relay != nil && !app.freezes {
		rt.Worker = app.relay
		// Not before the port is open: the process that started us waits for that. Nor at the
		// same moment: one processor would connect to the database before it answers.
		rt.Ready = func(_, _ net.Addr) {
			time.AfterFunc(answerFirst, func() { app.relay.Run(ctx) }) // Drain waits for it
		}
	}
	return runtime.Run(ctx, rt, app.routes())
}
