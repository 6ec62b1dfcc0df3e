package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	fly "github.com/superfly/fly-go"
)

// errRolledBack is a deploy that failed and left the machines as it found them.
var errRolledBack = errors.New("the new version was not kept, the machines are what they were before")

// errStuck is a deploy that failed and could not be undone.
var errStuck = errors.New("the new version failed and could not be taken back everywhere: check the app in Fly's dashboard")

// logLines is how much of a machine's log is shown when it failed.
const logLines = 12

// rollbackLimit bounds the way back, which no signal cuts short.
const rollbackLimit = 5 * time.Minute

// back puts every touched machine back, the last first, and says so. It goes on
// though ctx has ended: being interrupted is one of the reasons to be here.
func (r *rollout) back(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackLimit)
	defer cancel()
	r.say("FAILED: %v", cause)
	if failed := (*machineError)(nil); errors.As(cause, &failed) {
		r.showLog(ctx, failed.id)
	}
	var faults []error
	if err := r.restoreSecrets(ctx, r.secrets); err != nil {
		faults = append(faults, err)
	}
	for _, t := range slices.Backward(r.touched) {
		if err := r.restore(ctx, t); err != nil {
			r.say("machine %s: NOT put back: %v", t.id, err)
			faults = append(faults, err)
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: %w\non the way back: %w", errStuck, cause, errors.Join(faults...))
	}
	return fmt.Errorf("%w: %w", errRolledBack, cause)
}

// restore puts one machine back and sees it work. What was created is destroyed: it
// would be started by the next request, and it does not work.
func (r *rollout) restore(ctx context.Context, t touched) error {
	if t.before == nil {
		return r.destroy(ctx, t.id)
	}
	now, err := r.fly.Get(ctx, r.app, t.id)
	if err != nil {
		return &machineError{t.id, err}
	}
	in := fly.LaunchMachineInput{ID: t.id, Config: t.before.Config, Region: t.before.Region, Name: t.before.Name}
	a, err := r.update(ctx, now, in)
	if err != nil {
		return err
	}
	version := t.before.GetMetadataByKey(metaVersion)
	if err := r.verify(ctx, a, expected{version: version}); err != nil {
		return &machineError{t.id, err}
	}
	r.say("machine %s: back on version %s, which serves again", t.id, short(version))
	if t.before.State == fly.MachineStateStarted {
		return nil
	}
	return r.sleep(ctx, t.id, a.nonce)
}

// showLog prints the machine's last lines. They come with a delay, so they are asked
// for until there are some, for as long as a human would wait.
func (r *rollout) showLog(ctx context.Context, id string) {
	limited, cancel := context.WithTimeout(ctx, 20*r.pace)
	defer cancel()
	var lines []string
	err := waitFor(limited, r.pace, func() (bool, error) {
		var err error
		lines, err = r.logs.last(limited, r.app, id, logLines)
		return len(lines) > 0, err
	})
	if len(lines) == 0 {
		r.say("machine %s: no log lines to be had: %v", id, err)
		return
	}
	r.say("machine %s: its last lines:", id)
	for _, line := range lines {
		r.say("    | %s", line)
	}
}
