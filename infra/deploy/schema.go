package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"roomcast/shared/admin"
	"roomcast/shared/outbox"
)

// Versions meet: a new relay expects the schema that it brings along, and an old relay
// works with a newer one. So the schema goes first, and machines follow.

// meetSchema migrates, or refuses a deploy onto an older schema, before any machine is
// touched. A database that cannot be reached from here is left to the machines, which say
// what they see.
func (c command) meetSchema(ctx context.Context, o options, in inputs, d *deployer) error {
	if o.migrate {
		return c.migrate(ctx, in, d)
	}
	databaseURL := cmp.Or(in.owner, in.values["DATABASE_URL"])
	if databaseURL == "" {
		return nil
	}
	db, err := admin.OpenOperator(databaseURL, outbox.WithCA(in.values["DATABASE_CA"]))
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	defer db.Close()
	limited, cancel := context.WithTimeout(ctx, d.patience/4)
	defer cancel()
	now, err := db.Describe(limited)
	if err != nil && now.Name == "" {
		d.say("the database cannot be asked from here for its schema (%v): its machine will be", err)
		return nil
	}
	_, missing := admin.Expected(now.SchemaVersion)
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s is missing; nothing was touched. Run it with -migrate, and OWNER_DATABASE_URL in the environment, or ops migrate first", errSchema, strings.Join(missing, ", "))
}

var errNoOwner = errors.New("-migrate needs OWNER_DATABASE_URL in the environment: the database as the owner of the chat's tables sees it")

func (c command) migrate(ctx context.Context, in inputs, d *deployer) error {
	if in.owner == "" {
		return errNoOwner
	}
	last := ""
	m := admin.Migration{URL: in.owner, CA: in.values["DATABASE_CA"], Waiting: func(file, holders string) {
		if file+holders != last {
			d.say("schema: %s waits for %s", file, holders)
		}
		last = file + holders
	}}
	if err := m.Run(ctx); err != nil {
		return fmt.Errorf("%w; no machine was touched", err)
	}
	d.say("schema: as this version expects it")
	return nil
}
