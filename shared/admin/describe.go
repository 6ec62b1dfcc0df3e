package admin

import (
	"context"
	"fmt"
	"time"
)

// Description is what a relay's own connection says of its database.
type Description struct {
	Name             string
	ServerVersion    string
	Role             string
	Now              time.Time // the database's clock
	SchemaVersion    int       // highest migration applied; 0: a schema older than this program's, or none
	SystemIdentifier string    // of the cluster
	ReadOnly         bool
	App              string // the Pusher app that the outbox belongs to; empty: none has claimed yet
}

// Describe reads what a relay may know of its database. Where the schema is older than
// this program, the rest is still there beside the error.
func (o Operator) Describe(ctx context.Context) (Description, error) {
	var d Description
	err := o.QueryRow(ctx, `select current_database()::text, current_setting('server_version'), current_user::text, clock_timestamp()`).
		Scan(&d.Name, &d.ServerVersion, &d.Role, &d.Now)
	if err != nil {
		return d, fmt.Errorf("describe: %w", err)
	}
	err = o.QueryRow(ctx, `select schema_version, system_identifier, read_only, coalesce(pusher_app, '') from roomcast.describe()`).
		Scan(&d.SchemaVersion, &d.SystemIdentifier, &d.ReadOnly, &d.App)
	if err != nil {
		return d, fmt.Errorf("describe: %w", err)
	}
	return d, nil
}

// Probe writes a test event into the outbox, which wakes a relay and goes to Pusher as
// any other; nobody may listen to its room.
func (o Operator) Probe(ctx context.Context) error {
	return o.Exec(ctx, "probe", `select roomcast.probe()`)
}

// ProbeRoom is the room of the test event.
const ProbeRoom = "roomcast-selfcheck"

// Expected lists the numbered files that this program brings along and that a schema of
// this version lacks, and the highest version among all of them.
func Expected(schemaVersion int) (highest int, missing []string) {
	for _, name := range migrations() {
		version := versionOf(name)
		highest = max(highest, version)
		if version > schemaVersion {
			missing = append(missing, name)
		}
	}
	return highest, missing
}
