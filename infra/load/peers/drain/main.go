// Command drain is the least program that empties an outbox: select, post in tens,
// delete. It connects, prints "ready", and begins when a line comes on its standard
// input; after "done" it waits for the next line. OVERLAP=1 has it do the three side
// by side.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"roomcast/infra/load/peers/least"
)

func main() {
	if err := run(context.Background(), os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, "drain:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, getenv func(string) string) error {
	pool, err := pgxpool.New(ctx, getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := pool.Ping(ctx); err != nil {
		return err
	}
	push := least.NewPusher(getenv("PUSHER_HOST"), getenv("PUSHER_APP_ID"), getenv("PUSHER_KEY"), getenv("PUSHER_SECRET"), least.Posters)
	drainer := least.Drainer{
		Pool: pool, Fetch: least.Fetch, Posters: least.Posters, Overlap: getenv("OVERLAP") != "", Publish: push.Batch,
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		sent, err := drainer.Run(ctx)
		if err != nil {
			return err
		}
		fmt.Println("done", sent)
	}
	return nil
}
