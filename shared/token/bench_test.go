package token_test

import (
	"testing"
	"time"

	"roomcast/shared/token/tokentest"
)

// BenchmarkVerify is what one authorization costs before the database is asked.
func BenchmarkVerify(b *testing.B) {
	h := newFixture(b)
	for _, bench := range []struct {
		name   string
		signer tokentest.Signer
	}{
		{"HS256", h.legacy}, {"ES256", h.es256}, {"RS256", h.rs256}, {"EdDSA", h.eddsa},
	} {
		compact := sign(b, bench.signer, h.claims())
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for forth := true; b.Loop(); forth = !forth {
				// Time goes forth and back by more than a token is known for.
				if h.clock.Advance(time.Minute); !forth {
					h.clock.Advance(-2 * time.Minute)
				}
				if _, err := h.verifier.Verify(b.Context(), compact); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	compact := sign(b, h.es256, h.claims())
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := h.verifier.Verify(b.Context(), compact); err != nil {
				b.Fatal(err)
			}
		}
	})
}
