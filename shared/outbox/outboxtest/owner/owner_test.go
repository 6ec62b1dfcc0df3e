package owner_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/owner"
)

// TestOwner spends a few seconds on fixed seeds; OWNER_SECONDS spends more, on others.
func TestOwner(t *testing.T) {
	if seconds, err := strconv.Atoi(os.Getenv("OWNER_SECONDS")); err == nil {
		seed := uint64(time.Now().UnixNano())
		for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); seed++ {
			if err := owner.Run(t.Context(), outboxtest.Database(t), seed, 400, nil); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	for seed := range uint64(2) {
		if err := owner.Run(t.Context(), outboxtest.Database(t), seed, 120, nil); err != nil {
			t.Fatal(err)
		}
	}
}
