package main

import "fmt"

// failure ends a scenario: scenarios measure from top to bottom, and what goes wrong on the
// way is caught in one place, by attempt. What runs beside them in goroutines returns its
// errors instead.
type failure struct{ error }

// check ends the scenario if there is an error.
func check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// must is check for what also returns something.
func must[T any](v T, err error) T {
	check(err)
	return v
}

// attempt returns the error that ended do, if one did.
func attempt(do func()) (err error) {
	defer func() {
		switch end := recover().(type) {
		case nil:
		case failure:
			err = end.error
		default:
			panic(end)
		}
	}()
	do()
	return nil
}

// during says in what do ended.
func during(what string, do func()) {
	if err := attempt(do); err != nil {
		check(fmt.Errorf("%s: %w", what, err))
	}
}
