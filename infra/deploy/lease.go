package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	fly "github.com/superfly/fly-go"
)

// errLeased is returned when somebody else is changing a machine.
var errLeased = errors.New("a machine is leased by another deploy")

// errLeaseLost ends a deploy that could not keep its leases up: another may begin.
var errLeaseLost = errors.New("the lease of a machine was lost")

// leases are held on every machine of the app for as long as a deploy takes, so that
// two deploys exclude each other whole. They are short and kept up by a goroutine: a
// deploy that was killed is in nobody's way for longer than one of them.
type leases struct {
	d      *deployer
	cancel context.CancelCauseFunc
	stop   chan struct{}
	done   sync.WaitGroup

	mu    sync.Mutex
	nonce map[string]string // by machine
}

// lease takes the leases of all machines. The context returned ends when one cannot
// be kept up. The caller calls release.
func (d *deployer) lease(ctx context.Context, machines []*fly.Machine) (context.Context, *leases, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	l := &leases{d: d, cancel: cancel, stop: make(chan struct{}), nonce: map[string]string{}}
	l.done.Go(func() { l.keepUp(ctx) })
	for _, m := range machines {
		if err := l.take(ctx, m.ID); err != nil {
			l.release()
			return ctx, nil, err
		}
	}
	return ctx, l, nil
}

// take waits for one machine's lease, as long as d.leaseWait: fly-go would try for a
// minute whatever the error is, and then not say who holds it.
func (l *leases) take(ctx context.Context, id string) error {
	limited, cancel := context.WithTimeout(ctx, l.d.leaseWait)
	defer cancel()
	lease, err := l.d.fly.AcquireLease(limited, l.d.app, id, l.seconds())
	if err == nil && lease.Data != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.nonce[id] = lease.Data.Nonce
		return nil
	}
	if other, find := l.d.fly.FindLease(ctx, l.d.app, id); find == nil && other.Data != nil {
		return fmt.Errorf("%w: machine %s, by %s until %s", errLeased, id, other.Data.Owner, time.Unix(other.Data.ExpiresAt, 0).Format(time.TimeOnly))
	}
	return fmt.Errorf("lease machine %s: %w", id, err)
}

func (l *leases) seconds() *int { return new(int(l.d.ttl / time.Second)) }

// of is the nonce that changes to the machine must show.
func (l *leases) of(id string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nonce[id]
}

// forget drops a machine that is no more.
func (l *leases) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.nonce, id)
}

func (l *leases) held() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := make(map[string]string, len(l.nonce))
	for id, nonce := range l.nonce {
		held[id] = nonce
	}
	return held
}

// keepUp refreshes three times in a lease's life, so that one lost answer is harmless.
func (l *leases) keepUp(ctx context.Context) {
	ticker := time.NewTicker(l.d.ttl / 3)
	defer ticker.Stop()
	alive := time.Now()
	for {
		select {
		case <-ticker.C:
		case <-l.stop:
			return
		}
		err := l.refresh(context.WithoutCancel(ctx))
		if err == nil {
			alive = time.Now()
		} else if time.Since(alive) > l.d.ttl {
			l.cancel(fmt.Errorf("%w: %w", errLeaseLost, err))
		}
	}
}

func (l *leases) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.d.ttl/3)
	defer cancel()
	var faults []error
	for id, nonce := range l.held() {
		if _, err := l.d.fly.RefreshLease(ctx, l.d.app, id, l.seconds(), nonce); err != nil && l.of(id) != "" {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// release gives all leases back. What cannot be given back expires.
func (l *leases) release() {
	close(l.stop)
	l.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), l.d.ttl)
	defer cancel()
	for id, nonce := range l.held() {
		if err := l.d.fly.ReleaseLease(ctx, l.d.app, id, nonce); err != nil {
			l.d.say("machine %s: its lease stays until it expires: %v", id, err)
		}
	}
	l.cancel(nil)
}
