package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/owner"
)

const (
	ownerTime  = 5 * time.Minute
	ownerSteps = 400 // of one seed
)

// hostileOwner is the owner of the chat's tables on bad days (package owner), a new
// database for each seed, until the time is over. Two relays publish what is captured, and
// one or the other is killed now and then.
func hostileOwner(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	lasts := ownerTime
	if o.short {
		lasts /= 10
	}
	server, err := outboxtest.StartPostgres(ctx, outboxtest.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	binary, remove, err := buildFunction(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	days := 0
	for end := time.Now().Add(lasts); days < o.seeds || o.seeds == 1 && time.Now().Before(end); days++ {
		name := fmt.Sprintf("owner_%d", days)
		if err := outboxtest.Exec(ctx, server.URL("postgres"), "create database "+name); err != nil {
			return err
		}
		relays := newOwnerRelays(o, binary, stderr)
		if err := owner.Run(ctx, server.URL(name), o.seed+uint64(days), ownerSteps, relays); err != nil {
			return err
		}
		events, _ := relays.account()
		if err := outboxtest.Exec(ctx, server.URL("postgres"), "drop database "+name+" with (force)"); err != nil {
			return err
		}
		fmt.Fprintf(stderr, "faults: owner: seed %d: %d statements end alike with and without Roomcast; %d events, %d repeats, %d kills\n", o.seed+uint64(days), ownerSteps, events, relays.repeats, relays.kills)
	}
	fmt.Fprintf(stdout, "hostile owner: %d seeds of %d steps from %d on: no statement of the chat ended otherwise than without Roomcast, what was captured told what the tables hold, and Pusher was given all of it in order\n", days, ownerSteps, o.seed)
	return nil
}
