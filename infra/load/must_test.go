package main

import (
	"errors"
	"testing"
)

func TestAnErrorEndsWhatIsAttempted(t *testing.T) {
	broken := errors.New("broken")
	err := attempt(func() {
		during("measuring", func() { must(1, broken) })
		t.Error("went on behind an error")
	})
	if !errors.Is(err, broken) || err.Error() != "measuring: broken" {
		t.Errorf("got %v", err)
	}
	if err := attempt(func() { check(nil) }); err != nil {
		t.Errorf("nothing went wrong: %v", err)
	}
	defer func() {
		if recover() != "a bug" {
			t.Error("another panic was taken for an error")
		}
	}()
	_ = attempt(func() { panic("a bug") })
}
