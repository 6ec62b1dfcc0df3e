package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	fly "github.com/superfly/fly-go"
	"github.com/superfly/fly-go/flaps"
)

// rollout changes the machines, one after another, and remembers how to go back.
type rollout struct {
	*deployer
	leases  *leases
	work    work
	plan    plan
	secrets secretChange
	touched []touched
}

// touched is a machine that was changed, and what it was.
type touched struct {
	id     string
	before *fly.Machine // nil if it was created
}

// rollOut sets the secrets and changes the machines. On any failure, ctx's end
// included, everything is put back, and the error says what was wrong.
func (d *deployer) rollOut(ctx context.Context, p plan, w work) error {
	r := &rollout{deployer: d, work: w, plan: p}
	var there []*fly.Machine
	for _, s := range p.steps {
		if s.machine != nil {
			there = append(there, s.machine)
		}
	}
	leased, l, err := d.lease(ctx, there)
	if err != nil {
		return err
	}
	defer l.release()
	r.leases = l
	if r.secrets, err = d.setSecrets(leased, p.secrets, w); err == nil {
		err = r.steps(leased)
	}
	if err == nil {
		return nil
	}
	if cause := context.Cause(leased); cause != nil {
		err = errors.Join(cause, err)
	}
	return r.back(ctx, err)
}

func (r *rollout) steps(ctx context.Context) error {
	for _, s := range r.plan.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		switch s.action {
		case create, update, check:
			err = r.replace(ctx, s)
		case destroy:
			err = r.destroy(ctx, s.machine.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// machineError says which machine a rollout failed over.
type machineError struct {
	id  string
	err error
}

// Error names the machine.
func (e *machineError) Error() string { return "machine " + e.id + ": " + e.err.Error() }

// Unwrap is what was wrong with it.
func (e *machineError) Unwrap() error { return e.err }

// replace makes one machine what it should be, sees it work, and puts it to sleep
// again if that is how it was found.
func (r *rollout) replace(ctx context.Context, s step) error {
	a, err := r.change(ctx, s)
	if err != nil {
		return err
	}
	want := expected{version: s.config.Metadata[metaVersion], mode: r.work.mode, event: !r.work.noEvent}
	if err := r.verify(ctx, a, want); err != nil {
		return &machineError{a.id, err}
	}
	// Written last: what has no such mark is looked at again by the next deploy. It
	// makes no new version of the machine.
	if err := r.fly.SetMetadata(ctx, r.app, a.id, metaVerified, s.config.Metadata[metaConfig]); err != nil {
		return &machineError{a.id, fmt.Errorf("mark as verified: %w", err)}
	}
	if s.machine != nil && s.machine.State == fly.MachineStateStarted {
		return nil
	}
	return r.sleep(ctx, a.id, a.nonce)
}

// change creates or updates, and notes the machine as touched before it is.
func (r *rollout) change(ctx context.Context, s step) (attempt, error) {
	config := *s.config
	config.Metadata = maps.Clone(s.config.Metadata)
	config.Metadata[metaSecrets] = r.secrets.record
	in := fly.LaunchMachineInput{Config: &config, Region: r.plan.region, MinSecretsVersion: r.secrets.version}
	switch s.action {
	case create:
		m, err := r.launch(ctx, s.slot, in)
		if err != nil {
			return attempt{}, fmt.Errorf("create machine %d: %w", s.slot, explain(err))
		}
		r.touched = append(r.touched, touched{id: m.ID})
		r.say("machine %s: created in %s", m.ID, m.Region)
		err = r.leases.take(ctx, m.ID)
		return attempt{m.ID, r.leases.of(m.ID), m.InstanceID, lastEvent(m)}, err
	case update:
		now, err := r.fly.Get(ctx, r.app, s.machine.ID)
		if err != nil {
			return attempt{}, &machineError{s.machine.ID, err}
		}
		before := now
		if other := r.sibling(s); !proven(now) && other != nil {
			before = other
		}
		r.touched = append(r.touched, touched{now.ID, before})
		in.ID, in.Region, in.Name = now.ID, now.Region, now.Name
		return r.update(ctx, now, in)
	default: // check
		if before := r.sibling(s); before != nil {
			r.touched = append(r.touched, touched{before.ID, before})
		}
		m := s.machine
		return attempt{m.ID, r.leases.of(m.ID), m.InstanceID, lastEvent(m)}, nil
	}
}

// update gives a machine a new configuration.
func (r *rollout) update(ctx context.Context, now *fly.Machine, in fly.LaunchMachineInput) (attempt, error) {
	a := attempt{id: now.ID, nonce: r.leases.of(now.ID), since: lastEvent(now)}
	m, err := r.fly.Update(ctx, r.app, in, a.nonce)
	if err != nil {
		return a, &machineError{a.id, explain(err)}
	}
	// What stood there may have started once more since it was looked at.
	a.instance, a.since = m.InstanceID, max(a.since, lastEvent(m))
	r.say("machine %s: updated (it was %s)", a.id, now.State)
	return a, nil
}

// sibling is what a machine goes back to if it was changed by a deploy that did not
// live to see it work: the configuration of another that was seen to. Without one
// there is nothing to go back to (nil).
func (r *rollout) sibling(of step) *fly.Machine {
	for _, s := range r.plan.steps {
		if s.machine == nil || s.machine == of.machine || s.machine.Config == nil || !proven(s.machine) {
			continue
		}
		config := *s.machine.Config
		config.Metadata = maps.Clone(config.Metadata)
		config.Metadata[metaSlot] = strconv.Itoa(of.slot)
		before := *of.machine
		before.Config = &config
		return &before
	}
	return nil
}

// launch creates the machine of a slot. If there was no clear answer, it looks
// whether the machine is there. Only after a 502 or 503, and only if the machine
// stays away, is the create repeated; after a timeout never.
func (r *rollout) launch(ctx context.Context, slot int, in fly.LaunchMachineInput) (m *fly.Machine, err error) {
	for range 3 {
		limited, cancel := context.WithTimeout(ctx, r.patience)
		m, err = r.fly.Launch(limited, r.app, in)
		cancel()
		if !uncertain(err) {
			return m, err
		}
		r.say("creating machine %d: %v; looking whether it is there", slot, err)
		if m, lookup := r.lookUp(ctx, slot); m != nil || lookup != nil {
			return m, lookup
		}
		if !errors.Is(err, errUncertain) {
			return nil, err
		}
	}
	return nil, err
}

// lookUp waits a while for the machine of a slot to be listed.
func (r *rollout) lookUp(ctx context.Context, slot int) (found *fly.Machine, err error) {
	limited, cancel := context.WithTimeout(ctx, 8*r.pace)
	defer cancel()
	err = waitFor(limited, r.pace, func() (bool, error) {
		machines, err := r.machines(limited)
		for _, m := range machines {
			if slotOf(m) == slot {
				found = m
			}
		}
		return found != nil, err
	})
	if limited.Err() != nil && ctx.Err() == nil {
		return nil, nil
	}
	return found, err
}

// sleep stops a machine and waits until it is.
func (r *rollout) sleep(ctx context.Context, id, nonce string) error {
	if err := r.fly.Stop(ctx, r.app, fly.StopMachineInput{ID: id}, nonce); err != nil {
		return &machineError{id, fmt.Errorf("stop: %w", err)}
	}
	limited, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	err := waitFor(limited, r.pace, func() (bool, error) {
		m, err := r.fly.Get(limited, r.app, id)
		return err == nil && m.State == fly.MachineStateStopped, fatal(err)
	})
	if err != nil {
		return &machineError{id, fmt.Errorf("stop: %w", err)}
	}
	r.say("machine %s: asleep again; the next request starts it", id)
	return nil
}

func (r *rollout) destroy(ctx context.Context, id string) error {
	if err := r.fly.Destroy(ctx, r.app, fly.RemoveMachineInput{ID: id, Kill: true}, r.leases.of(id)); err != nil {
		return &machineError{id, fmt.Errorf("destroy: %w", err)}
	}
	r.leases.forget(id)
	if err := r.fly.Wait(ctx, r.app, id, flaps.WithWaitStates(fly.MachineStateDestroyed), flaps.WithWaitTimeout(30*time.Second)); err != nil {
		r.say("machine %s: destroyed, though not seen to be: %v", id, err)
		return nil
	}
	r.say("machine %s: destroyed", id)
	return nil
}
