package main

import (
	"context"
	"fmt"
	"time"
)

// backlog has rows pile up while nobody sends, and watches the memory of the relays
// that then do.
func backlog(rows int) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		for _, r := range s.relays {
			if err := r.kill(); err != nil {
				return err
			}
		}
		if err := s.chat.fill(ctx, rows, 200, s.rnd); err != nil {
			return err
		}
		s.lift()
		s.extra = time.Duration(rows) * time.Millisecond // a thousand rows a second, at least
		for _, r := range s.relays {
			if err := r.start(ctx); err != nil {
				return err
			}
		}
		return s.watchMemory(ctx, rows)
	}
}

// memoryLimit is what a relay may take, however much waits: Fly's smallest machine
// has 256 MB.
const memoryLimit = 160 << 20

// watchMemory samples the relays until the backlog is gone.
func (s *scene) watchMemory(ctx context.Context, rows int) error {
	began := time.Now()
	var early, late int64 // peaks in the first and the last half
	err := s.until(ctx, "the backlog to drain", func() bool {
		done := s.ledger.accepted()
		for _, r := range s.relays {
			if done < rows/2 {
				early = max(early, r.memory())
			} else {
				late = max(late, r.memory())
			}
		}
		return done >= rows
	})
	if err != nil {
		return err
	}
	rate := float64(rows) / time.Since(began).Seconds()
	s.note("%.0f rows/s; largest relay: %d MB in the first half, %d MB in the second", rate, early>>20, late>>20)
	if max(early, late) > memoryLimit {
		return fmt.Errorf("a relay took %d MB", max(early, late)>>20)
	}
	return nil
}
