package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	fly "github.com/superfly/fly-go"
)

// errMissing is what a deploy lacks; nothing was touched.
var errMissing = errors.New("cannot deploy")

// inputs are everything a deploy is given.
type inputs struct {
	settings settings
	values   map[string]string // of the secrets
	owner    string            // the database as the owner of the chat's tables sees it; never a secret of the function
	token    string
}

// read reads the settings, the secrets and the token, and says all that is missing
// at once. It needs no network: a deploy without a token touches nothing.
func (c command) read(o options) (in inputs, err error) {
	var faults []error
	if in.settings, err = readSettings(o.config); err != nil {
		faults = append(faults, err)
	}
	in.settings.App = cmp.Or(o.app, in.settings.App)
	if in.values, err = readSecrets(o.secrets, o.asked, c.getenv); err != nil {
		faults = append(faults, err)
	}
	in.owner = cmp.Or(c.getenv("OWNER_DATABASE_URL"), in.values["OWNER_DATABASE_URL"])
	delete(in.values, "OWNER_DATABASE_URL")
	in.token = cmp.Or(c.getenv("FLY_API_TOKEN"), c.getenv("FLY_ACCESS_TOKEN"))
	if in.token == "" {
		faults = append(faults, fmt.Errorf("FLY_API_TOKEN: is missing: make one with: fly tokens create deploy -a %s (for an app that is not there yet: fly tokens create org)", in.settings.App))
	}
	if webhookSecret(in.values) == "" {
		faults = append(faults, errors.New("WEBHOOK_SECRET: is missing: the test wake-up needs it; make one with: openssl rand -hex 32"))
	}
	if in.token == "" { // else ask Fly which of these it has already
		faults = append(faults, in.lacks(nil)...)
	}
	return in, missing(faults)
}

// missing says what is missing once it is known what Fly has.
func (in inputs) missing(have state) error { return missing(in.lacks(have.secrets)) }

func missing(faults []error) error {
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w; nothing was touched:\n%w", errMissing, errors.Join(faults...))
}

// lacks are the secrets that neither we nor Fly have.
func (in inputs) lacks(onFly []fly.AppSecret) (faults []error) {
	for _, name := range needed() {
		has := func(s fly.AppSecret) bool { return s.Name == name }
		if in.values[name] == "" && in.settings.Env[name] == "" && !slices.ContainsFunc(onFly, has) {
			faults = append(faults, fmt.Errorf("%s: is missing: put it into the secrets file or the environment, unless Fly has it already", name))
		}
	}
	return faults
}

// mode is what the function should tell of itself: with a database it must not run
// without one.
func (in inputs) mode(have state) string {
	onFly := slices.ContainsFunc(have.secrets, func(s fly.AppSecret) bool { return s.Name == "DATABASE_URL" })
	if in.values["DATABASE_URL"] != "" || in.settings.Env["DATABASE_URL"] != "" || onFly {
		return "outbox"
	}
	return "forward-only"
}
