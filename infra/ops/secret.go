package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"roomcast/shared/admin"
)

// setUpSecret hands the database its half of the webhook's secret. Typed into a statement it
// would stand in the server's log (Supabase ships log_statement = 'all').
func setUpSecret(*flag.FlagSet) func(context.Context, *call) (int, error) {
	return func(ctx context.Context, c *call) (int, error) {
		if len(c.args) > 0 {
			return exitFailed, errUsage
		}
		if len(c.WebhookSecrets) == 0 {
			return exitFailed, errors.New("WEBHOOK_SECRET is missing")
		}
		if c.ownerURL() == "" {
			return exitFailed, errNoDatabase
		}
		conn, err := c.connect(ctx, c.ownerURL())
		if err != nil {
			return exitFailed, fmt.Errorf("connect: %w", err)
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		if err := admin.Configure(ctx, conn, "", c.WebhookSecrets[0]); err != nil {
			return exitFailed, err
		}
		if c.out.json {
			return exitOK, c.out.encode(map[string]bool{"configured": true})
		}
		c.out.line("the database sends the first of WEBHOOK_SECRET from now on")
		return exitOK, nil
	}
}
