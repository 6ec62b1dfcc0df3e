package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	fly "github.com/superfly/fly-go"
	"github.com/superfly/fly-go/flaps"
)

// deployer carries out a plan. What takes time is a field, so that tests need not
// take it.
type deployer struct {
	*progress
	fly      platform
	registry registry
	logs     logs
	http     *http.Client
	app      string
	url      string // where the app answers, such as https://roomcast.fly.dev
	secret   string // of the test wake-up

	patience  time.Duration // for a machine to become healthy, and for an answer through the proxy
	pace      time.Duration // between two polls
	ttl       time.Duration // of a machine's lease, whole seconds; it is kept up as long as we live
	leaseWait time.Duration // for a lease that another holds: longer than ttl, so that a killed run is outwaited
	rounds    int           // see secretPrints
}

// observe asks for everything a plan depends on. A missing app is not an error.
func (d *deployer) observe(ctx context.Context) (state, error) {
	var s state
	_, err := d.fly.GetApp(ctx, d.app)
	if errors.Is(err, flaps.ErrFlapsNotFound) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("app %s: %w", d.app, explain(err))
	}
	s.exists = true
	ips, err := d.fly.GetIPAssignments(ctx, d.app)
	if err != nil {
		return s, fmt.Errorf("addresses: %w", err)
	}
	s.ips = ips.IPs
	if s.secrets, err = d.fly.ListAppSecrets(ctx, d.app, nil, false); err != nil {
		return s, fmt.Errorf("secrets: %w", err)
	}
	s.machines, err = d.machines(ctx)
	return s, err
}

// machines are the app's own, without those that `fly deploy` keeps beside them for
// release commands and consoles.
func (d *deployer) machines(ctx context.Context) ([]*fly.Machine, error) {
	all, err := d.fly.List(ctx, d.app, "")
	if err != nil {
		return nil, fmt.Errorf("machines: %w", err)
	}
	return slices.DeleteFunc(all, func(m *fly.Machine) bool {
		group := m.ProcessGroup()
		return !m.IsActive() || group != "" && group != fly.MachineProcessGroupApp
	}), nil
}

// explain adds to an answer of Fly's what to do about it.
func explain(err error) error {
	refusal := (*flaps.FlapsError)(nil)
	if !errors.As(err, &refusal) {
		return err
	}
	switch refusal.ResponseStatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: FLY_API_TOKEN is not accepted for this app (expired, or of another organization, or the name is taken)", err)
	}
	if advice := refusal.Suggestion(); advice != "" {
		return fmt.Errorf("%w: %s", err, advice)
	}
	return err
}

// apply carries out the plan. Until rollOut changes the first machine, nothing that runs is
// affected; rollOut takes back what fails.
func (d *deployer) apply(ctx context.Context, p plan, w work) error {
	if p.createApp {
		if err := d.createApp(ctx, p.org); err != nil {
			return err
		}
	}
	for _, kind := range p.addresses {
		if err := d.assign(ctx, kind); err != nil {
			return err
		}
	}
	if p.push {
		d.say("pushing image %s", digestOf(p.image))
		if err := d.registry.push(ctx, w.img, p.version); err != nil {
			return err
		}
	}
	return d.rollOut(ctx, p, w)
}

// work is what a plan is carried out with.
type work struct {
	img     v1.Image
	values  map[string]string // of the secrets
	prints  map[string]string
	mode    string // that the function should tell, see expected
	noEvent bool   // no test event is sent: Pusher is known to be away
}

// createApp and assign check before they report a failure: the request may have been
// carried out and its answer lost.
func (d *deployer) createApp(ctx context.Context, org string) error {
	_, err := d.fly.CreateApp(ctx, flaps.CreateAppRequest{Name: d.app, Org: org})
	if err != nil {
		if _, lookup := d.fly.GetApp(ctx, d.app); lookup != nil {
			return fmt.Errorf("create app %s: %w", d.app, explain(err))
		}
	}
	d.say("app %s created", d.app)
	return nil
}

func (d *deployer) assign(ctx context.Context, kind string) error {
	ip, err := d.fly.AssignIP(ctx, d.app, flaps.AssignIPRequest{Type: kind})
	if err == nil {
		d.say("address %s assigned (%s)", ip.IP, kind)
		return nil
	}
	ips, lookup := d.fly.GetIPAssignments(ctx, d.app)
	if lookup != nil || slices.Contains(missingAddresses(ips.IPs), kind) {
		return fmt.Errorf("assign %s address: %w", kind, explain(err))
	}
	d.say("address assigned (%s)", kind)
	return nil
}

// secretChange is what setting the secrets came to.
type secretChange struct {
	record  string             // for the machines' metadata
	version *uint64            // the least a machine must be given; nil if nothing was set
	before  map[string]*string // for going back; nil values for names that were not there
	lost    []string           // names whose former values Fly does not tell
}

// setSecrets sets what changed. The former values are asked for first, so that they
// can be put back; a token may not be allowed to read them.
func (d *deployer) setSecrets(ctx context.Context, names []string, w work) (secretChange, error) {
	change := secretChange{before: map[string]*string{}}
	now, err := d.fly.ListAppSecrets(ctx, d.app, nil, false)
	if err != nil {
		return change, fmt.Errorf("secrets: %w", err)
	}
	if len(names) > 0 {
		shown, err := d.fly.ListAppSecrets(ctx, d.app, nil, true)
		if err != nil {
			shown = now // without values
		}
		change.remember(names, shown)
		values := map[string]*string{}
		for _, name := range names {
			values[name] = new(w.values[name])
		}
		set, err := d.fly.UpdateAppSecrets(ctx, d.app, values)
		if err != nil {
			return change, fmt.Errorf("set secrets: %w", err)
		}
		d.say("secrets set: %s", strings.Join(names, ", "))
		change.version = &set.Version
		if now, err = d.fly.ListAppSecrets(ctx, d.app, nil, false); err != nil {
			return change, fmt.Errorf("secrets: %w", err)
		}
	}
	change.record = newRecord(w.prints, now).String()
	return change, nil
}

func (c *secretChange) remember(names []string, shown []fly.AppSecret) {
	former := map[string]*string{}
	for _, s := range shown {
		former[s.Name] = s.Value
	}
	for _, name := range names {
		value, there := former[name]
		if there && value == nil {
			c.lost = append(c.lost, name)
			continue
		}
		c.before[name] = value
	}
}

// restoreSecrets puts the former values back, as far as they are known.
func (d *deployer) restoreSecrets(ctx context.Context, c secretChange) error {
	if len(c.lost) > 0 {
		d.say("Fly does not tell the former values of %s: the new ones stay. Deploy once more with the old ones", strings.Join(c.lost, ", "))
	}
	if c.version == nil || len(c.before) == 0 {
		return nil
	}
	if _, err := d.fly.UpdateAppSecrets(ctx, d.app, c.before); err != nil {
		return fmt.Errorf("restore secrets: %w", err)
	}
	d.say("secrets put back: %s", strings.Join(slices.Sorted(maps.Keys(c.before)), ", "))
	return nil
}
