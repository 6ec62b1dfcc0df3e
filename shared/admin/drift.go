package admin

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox"
)

// Drift is how a database's schema differs from what this program brings along.
type Drift struct {
	Missing []string // numbered files that are not applied yet
	Newer   []int    // versions that this program does not know: it is the older one
	Stale   []string // functions that are absent, or not as they are in this program
}

// None reports whether there is no difference.
func (d Drift) None() bool { return len(d.Missing)+len(d.Newer)+len(d.Stale) == 0 }

// Compare reads what [Migrate] would change. It writes nothing. The user of the
// connection must be able to read roomcast.migrations.
func Compare(ctx context.Context, conn *pgx.Conn) (Drift, error) {
	var d Drift
	done, err := applied(ctx, conn)
	if err != nil {
		return d, fmt.Errorf("compare: %w", err)
	}
	known := map[int]bool{}
	for _, name := range migrations() {
		known[versionOf(name)] = true
		if !done[versionOf(name)] {
			d.Missing = append(d.Missing, name)
		}
	}
	for version := range done {
		if !known[version] {
			d.Newer = append(d.Newer, version)
		}
	}
	slices.Sort(d.Newer)
	d.Stale, err = staleFunctions(ctx, conn)
	return d, err
}

// functions finds the functions in the text of a re-applied file, each as its name and
// its body between dollar signs, as our own files write them: the body is what Postgres
// keeps, to the byte, in pg_proc.prosrc. A regular expression takes a hundred times as long.
func functions(text string) (found []string) {
	for text = "\n" + text; ; {
		_, f, more := strings.Cut(text, "\ncreate or replace function roomcast.")
		if !more {
			return found
		}
		name, f, _ := strings.Cut(f, "(")
		_, f, _ = strings.Cut(f, " as $$")
		f, text, _ = strings.Cut(f, "$$")
		found = append(found, name+" "+f)
	}
}

// staleFunctions lists the functions of the re-applied files that the database does
// not have in this form.
func staleFunctions(ctx context.Context, conn *pgx.Conn) (stale []string, err error) {
	rows, err := conn.Query(ctx, `select p.proname || ' ' || p.prosrc from pg_proc p
	  join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'roomcast'`)
	if err != nil {
		return nil, fmt.Errorf("functions: %w", err)
	}
	have, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("functions: %w", err)
	}
	for _, file := range reapplied() {
		text, err := fs.ReadFile(outbox.SQL(), "sql/"+file)
		if err != nil {
			return nil, fmt.Errorf("functions: %w", err)
		}
		for _, f := range functions(string(text)) {
			if !slices.Contains(have, f) {
				name, _, _ := strings.Cut(f, " ")
				stale = append(stale, name)
			}
		}
	}
	return stale, nil
}

// They are compiled where they are used, by operators' commands only: a relay that starts
// has no time for it.
const (
	grantText   = `(?s)grant execute on function(.*?)to roomcast_relay`
	grantedText = `roomcast\.(\w+)\(`
)

// RelayFunctions lists the functions that the relay's role may execute, as the
// re-applied files grant them.
func RelayFunctions() ([]string, error) {
	var names []string
	grants, granted := regexp.MustCompile(grantText), regexp.MustCompile(grantedText)
	for _, file := range reapplied() {
		text, err := fs.ReadFile(outbox.SQL(), "sql/"+file)
		if err != nil {
			return nil, fmt.Errorf("relay functions: %w", err)
		}
		for _, list := range grants.FindAllStringSubmatch(string(text), -1) {
			for _, fn := range granted.FindAllStringSubmatch(list[1], -1) {
				names = append(names, fn[1])
			}
		}
	}
	return names, nil
}
