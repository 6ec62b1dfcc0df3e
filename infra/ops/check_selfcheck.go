package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"roomcast/shared/selfcheck"
)

// functionURL is where the function answers: ROOMCAST_URL, or else the host of the wake-up URL.
func (d *doctor) functionURL() string {
	if d.FunctionURL != "" {
		return strings.TrimSuffix(d.FunctionURL, "/")
	}
	return strings.TrimSuffix(d.wakeup.url, webhookPath)
}

const setAndDeploy = "set it among the function's secrets and deploy"

// checkFunction asks whether the function is there, and what it sees; the checks behind
// this one compare that with what is known here.
func (d *doctor) checkFunction(ctx context.Context, f *findings) error {
	if d.functionURL() == "" {
		f.skip("needs ROOMCAST_URL, or the wake-up settings")
		return nil
	}
	version, ok := d.health(ctx, f)
	if !ok {
		return nil
	}
	if d.secret() == "" {
		f.skip("needs WEBHOOK_SECRET, behind which the function says what it sees")
		return nil
	}
	report, err := selfcheck.Ask(ctx, d.http, d.functionURL(), d.secret(), d.event, nil)
	switch {
	case errors.Is(err, selfcheck.ErrSecret):
		f.fail("WEBHOOK_SECRET: "+setAndDeploy, "the function does not take WEBHOOK_SECRET as it is here")
	case errors.Is(err, selfcheck.ErrOlder):
		f.fail("deploy this version, or run the doctor of version "+version, "version %.12s is deployed, which cannot say what it sees", version)
	case err != nil:
		return err
	default:
		d.self = report
		f.ok("version %.12s, %s channels", report.Version, strings.Join(report.Channels, ","))
	}
	return nil
}

// secret is the one to show the function: the database's own if it is among WEBHOOK_SECRET.
func (d *doctor) secret() string {
	if d.wakeup.secret != "" && (len(d.WebhookSecrets) == 0 || slices.Contains(d.WebhookSecrets, d.wakeup.secret)) {
		return d.wakeup.secret
	}
	if len(d.WebhookSecrets) > 0 {
		return d.WebhookSecrets[0]
	}
	return ""
}

// health asks for /healthz, and says what is wrong with who answers.
func (d *doctor) health(ctx context.Context, f *findings) (version string, ok bool) {
	resp, err := d.get(ctx, d.functionURL()+"/healthz")
	if err != nil {
		f.fail("is it deployed? Its log says why it does not start", "no answer: %s", short(withoutURL(err)))
		return "", false
	}
	defer resp.Body.Close()
	var health struct{ Mode, Version string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&health); err != nil || resp.StatusCode != http.StatusOK || health.Mode == "" {
		f.fail("set ROOMCAST_URL to the function's own address", "what answers at %s is not Roomcast (%d)", d.functionURL(), resp.StatusCode)
		return "", false
	}
	if health.Mode == "forward-only" {
		f.fail("DATABASE_URL: "+setAndDeploy, "it runs without a database: it forwards, and keeps no promise")
	}
	return health.Version, true
}

// checkFunctionDatabase compares the database that the function reaches with ours.
func (d *doctor) checkFunctionDatabase(ctx context.Context, f *findings) error {
	if d.self == nil || d.self.Database == nil {
		f.skip("needs the function's own word")
		return nil
	}
	db, before := *d.self.Database, len(*f)
	if !db.Reachable {
		f.fail(connectRemedy(errors.New(db.Error), "DATABASE_URL: "+setAndDeploy), "the function cannot use its database (%s): %s", cmp.Or(db.Host, "no host"), db.Error)
		return nil
	}
	if d.conn != nil {
		if err := d.compareDatabases(ctx, f, db); err != nil {
			return err
		}
	}
	switch {
	case db.ReadOnly:
		f.fail("DATABASE_URL must name the primary; a project whose disk is full is read-only until there is space", "the function's database is read-only")
	case db.Schema < db.SchemaExpected:
		f.fail(runMigrate, "the function expects schema %d, and its database has %d: %s is missing", db.SchemaExpected, db.Schema, cmp.Or(strings.Join(db.Missing, ", "), "a migration"))
	case db.Schema > db.SchemaExpected:
		f.warn("deploy the version that migrated the database", "the function is older than its database: it expects schema %d, and there is %d", db.SchemaExpected, db.Schema)
	}
	if len(*f) == before {
		f.ok("reaches %s at %s as %s", db.Name, db.Host, db.Role)
	}
	return nil
}

func (d *doctor) compareDatabases(ctx context.Context, f *findings, theirs selfcheck.Database) error {
	var cluster, name string
	if err := d.conn.QueryRow(ctx, `select system_identifier::text, current_database() from pg_control_system()`).Scan(&cluster, &name); err != nil {
		return err
	}
	switch {
	case theirs.SystemIdentifier != "" && theirs.SystemIdentifier != cluster:
		f.fail("DATABASE_URL: "+setAndDeploy+"; or set OWNER_DATABASE_URL to the function's", "the function uses another database server (%s) than OWNER_DATABASE_URL", theirs.Host)
	case theirs.Name != name:
		f.fail("DATABASE_URL: "+setAndDeploy, "the function uses the database %s, OWNER_DATABASE_URL %s of the same server", theirs.Name, name)
	}
	return nil
}

// checkApp compares the Pusher app that the outbox belongs to with ours and with the
// function's: the outbox refuses the relays of another.
func (d *doctor) checkApp(ctx context.Context, f *findings) error {
	var bound string
	if err := d.conn.QueryRow(ctx, `select coalesce(pusher_app, '') from roomcast.settings`).Scan(&bound); err != nil {
		return err
	}
	const remedy = "is DATABASE_URL another project's? If the app is to change: select roomcast.configure(pusher_app => '%s');"
	switch {
	case bound == "":
		f.ok("no app has claimed from the outbox yet: the first that does owns it")
	case d.self != nil && d.self.Pusher.AppID != bound:
		f.fail(fmt.Sprintf(remedy, d.self.Pusher.AppID), "the outbox belongs to Pusher app %s and refuses the function's, %s: nothing is sent", bound, d.self.Pusher.AppID)
	case d.PusherAppID != "" && d.PusherAppID != bound:
		f.fail(fmt.Sprintf(remedy, d.PusherAppID), "the outbox belongs to Pusher app %s, here PUSHER_APP_ID is %s", bound, d.PusherAppID)
	default:
		f.ok("the outbox belongs to Pusher app %s", bound)
	}
	return nil
}

// checkFunctionPusher says what Pusher answers the function.
func (d *doctor) checkFunctionPusher(_ context.Context, f *findings) error {
	if d.self == nil {
		f.skip("needs the function's own word")
		return nil
	}
	theirs, before := d.self.Pusher, len(*f)
	for _, pair := range []struct{ name, here, there string }{
		{"PUSHER_APP_ID", d.PusherAppID, theirs.AppID}, {"PUSHER_KEY", d.PusherKey, theirs.Key},
		{"PUSHER_CLUSTER", d.PusherCluster, theirs.Cluster}, {"PUSHER_HOST", d.PusherHost, theirs.Host},
	} {
		if pair.here != pair.there && (d.PusherAppID != "" || pair.here != "") {
			f.fail(pair.name+": "+setAndDeploy, "the function has %s %s, here it is %s", pair.name, cmp.Or(pair.there, "none"), cmp.Or(pair.here, "none"))
		}
	}
	if !theirs.Reachable {
		remedy := "compare PUSHER_APP_ID, PUSHER_KEY, PUSHER_SECRET and PUSHER_CLUSTER with App Keys in Pusher's dashboard, and deploy"
		switch theirs.Status {
		case http.StatusForbidden:
			remedy = "see the app's usage and settings in Pusher's dashboard: it is over its quota, or disabled"
		case 0:
			remedy = "see PUSHER_CLUSTER or PUSHER_HOST, and PUSHER_TLS; then Pusher's status page"
		}
		f.fail(remedy, "Pusher does not take the function's requests: %s", cmp.Or(theirs.Error, fmt.Sprint(theirs.Status)))
	}
	if len(*f) == before {
		f.ok("takes the function's signature for app %s", theirs.AppID)
	}
	return nil
}

// checkFunctionSettings compares the function's settings with those here, by prints: the
// values are not told.
func (d *doctor) checkFunctionSettings(_ context.Context, f *findings) error {
	if d.self == nil {
		f.skip("needs the function's own word")
		return nil
	}
	var differ, lacks, lacking []string
	for _, name := range compared() {
		here, there := d.environ[name], d.self.Prints[name]
		switch {
		case here == "" && there == "":
		case here == "":
			lacking = append(lacking, name)
		case there == "":
			lacks = append(lacks, name)
		case selfcheck.Print(d.secret(), name, here) != there:
			differ = append(differ, name)
		}
	}
	before := len(*f)
	if len(differ) > 0 {
		f.fail("deploy with the right ones: task deploy -- -secrets FILE; or correct them here", "the function has other values of %s than there are here", strings.Join(differ, ", "))
	}
	if len(lacks) > 0 {
		f.fail("task deploy -- -secrets FILE sets them", "the function lacks %s", strings.Join(lacks, ", "))
	}
	if len(lacking) > 0 {
		f.warn("add them here, or the next deploy from here cannot compare them", "the function has %s, which are not set here", strings.Join(lacking, ", "))
	}
	if len(*f) == before {
		f.ok("%s are as here", count(int64(len(d.self.Prints)), "setting"))
	}
	return nil
}

// compared are the settings that must be the function's as well: all of
// functions/config.go but what belongs to one machine.
func compared() []string {
	return []string{
		"DATABASE_URL", "DATABASE_CA", "WEBHOOK_SECRET", "PARITY_SECRET",
		"PUSHER_SECRET", "PUSHER_TLS", "PUSHER_ENCRYPTION_KEY", "SUPABASE_URL", "SUPABASE_JWT_SECRET", "SUPABASE_KEY",
		"ROOM_CHANNELS", "PACKED_ROOMS", "ALLOWED_ORIGINS", "CLIENT_MODE", "INBOX", "CANARY",
		"MESSAGES_TABLES", "MEMBERS_TABLES", "ROOM_COLUMN", "USER_COLUMN",
	}
}

// checkFunctionRelay says what stops the hot loop of the process that answered.
func (d *doctor) checkFunctionRelay(_ context.Context, f *findings) error {
	if d.self == nil || d.self.Relay == nil {
		f.skip("needs the function's own word")
		return nil
	}
	r, before := d.self.Relay, len(*f)
	if p := r.Polling; p != nil {
		f.fail("see what Pusher answers, above and in its dashboard. Nothing is lost: pages go back to Pusher by themselves, and the rows go out", "%s", pollingText(p))
	} else if r.PausedSince != nil {
		f.fail("see what Pusher answers, above and in the function's log", "the relay has paused for %s: %s", span(time.Since(*r.PausedSince)), r.PusherAnswer)
	}
	if c := r.Canary; c != nil && c.Result != "heard" {
		f.warn("see Pusher's status page, and the app's quota of connections in its dashboard", "the function did not hear its own row through Pusher %s ago: %s", span(time.Since(c.At)), c.Result)
	}
	if k := d.self.Keys; k != nil && !k.Reachable {
		f.fail("SUPABASE_URL: "+setAndDeploy, "the function cannot fetch the keys of users' tokens: %s", k.Error)
	}
	if e := d.self.Event; e != nil && !e.Accepted {
		f.fail("the findings above say why; the function's log has the rest", "a test event did not get through: %s", e.Error)
	} else if e != nil {
		f.ok("a test event went from the outbox to Pusher in %s", span(time.Duration(e.Seconds*float64(time.Second))))
	}
	if len(*f) == before {
		f.ok("%s", lastAccepted(r))
	}
	return nil
}

// pollingText says since when Pusher accepts nothing, why, and what pages do meanwhile.
func pollingText(p *selfcheck.Polling) string {
	text := fmt.Sprintf("Pusher has accepted nothing since %s UTC, for %s: %s. ", p.Since.UTC().Format(time.TimeOnly), span(time.Since(p.Since)), cmp.Or(p.Answer, "no answer"))
	if p.RetryAt != nil {
		text += "It is tried again in " + span(max(0, time.Until(*p.RetryAt))) + ". "
	}
	return text + fmt.Sprintf("Visible pages poll, each about every %d s: %s in the last minute", p.EverySeconds, count(int64(p.LastMinute), "request"))
}

func lastAccepted(r *selfcheck.Relay) string {
	if r.LastAccepted == nil {
		return "nothing was sent by this process yet"
	}
	return "Pusher last accepted an event " + span(time.Since(*r.LastAccepted)) + " ago"
}
