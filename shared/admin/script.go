package admin

import (
	"fmt"
	"io/fs"
	"strings"

	"roomcast/shared/outbox"
)

// Script is the whole schema as one file of SQL, for tools that install files:
// what Migrate applies, in the same order, each part a transaction of its own.
// Running it again is harmless, and so is running it where Migrate was.
func Script() (string, error) {
	var all strings.Builder
	for _, name := range append(migrations(), reapplied()...) {
		sql, err := fs.ReadFile(outbox.SQL(), "sql/"+name)
		if err != nil {
			return "", fmt.Errorf("script: %w", err)
		}
		fmt.Fprintf(&all, "-- %s\n\n%s\n", name, strings.TrimRight(string(sql), "\n")+"\n")
	}
	return all.String(), nil
}
