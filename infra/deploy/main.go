// Deploy brings the function from a checkout to verified machines on Fly, and back
// if they do not work; `deploy lambda` packs it for AWS Lambda instead.
//
// It builds a static program, puts it into an image without Docker, and compares
// fly.toml, the secrets and the image with what Fly has. The plan is shown, agreed
// to, and carried out one machine at a time; each is started though the app may be
// asleep, its health check awaited, a test wake-up sent, and the version that answers
// compared. See README.md.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/superfly/fly-go/tokens"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// The first signal turns the deploy around, which takes a while; the second one
	// ends the process where it stands.
	context.AfterFunc(ctx, stop)
	c := command{args: os.Args[1:], getenv: os.Getenv, in: os.Stdin, out: os.Stdout, make: makeImage, tune: func(*deployer) {}}
	if err := c.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "deploy:", err)
		os.Exit(1)
	}
}

// command is the program with its surroundings.
type command struct {
	args   []string
	getenv func(string) string
	in     io.Reader
	out    io.Writer
	make   func(ctx context.Context, root, revision string) (v1.Image, error)
	tune   func(*deployer) // for tests: shorter waits
}

// options are the flags.
type options struct {
	config, secrets, app, org, url string
	asked                          bool // for the secrets file, by name
	machines                       int
	dryRun, yes, allowDirty        bool
	migrate, noEvent               bool
	root                           string
	revision                       string
}

func (c command) options() (o options, err error) {
	flags := flag.NewFlagSet("deploy", flag.ContinueOnError)
	flags.SetOutput(c.out)
	flags.StringVar(&o.config, "config", "fly.toml", "settings `file`")
	flags.StringVar(&o.secrets, "secrets", "", "`file` of NAME=value lines (default .secrets, if it is there); the environment counts too")
	flags.StringVar(&o.app, "app", c.getenv("FLY_APP"), "`name` of the app, in place of fly.toml's")
	flags.StringVar(&o.org, "org", cmp.Or(c.getenv("FLY_ORG"), "personal"), "organization for an app that has to be created")
	flags.StringVar(&o.url, "url", "", "`address` where the app answers (default https://<app>.fly.dev)")
	flags.IntVar(&o.machines, "machines", 0, "how many (default: as many as there are, two at least)")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the plan and do nothing")
	flags.BoolVar(&o.yes, "yes", false, "do not ask")
	flags.BoolVar(&o.allowDirty, "allow-dirty", false, "deploy a checkout with changes")
	flags.BoolVar(&o.migrate, "migrate", false, "bring the database's schema to this version first (OWNER_DATABASE_URL)")
	flags.BoolVar(&o.noEvent, "no-event", false, "send no test event: for a deploy while Pusher is known to be away")
	flags.StringVar(&o.root, "root", ".", "the checkout")
	flags.StringVar(&o.revision, "revision", "", "`commit` the program shall tell (default: the checkout's)")
	if err := flags.Parse(c.args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	o.asked = o.secrets != ""
	o.secrets = cmp.Or(o.secrets, ".secrets")
	return o, nil
}

// goarch is what Fly's machines are.
const goarch = "amd64"

func (c command) run(ctx context.Context) error {
	if len(c.args) > 0 && c.args[0] == "lambda" {
		c.args = c.args[1:]
		return c.lambda(ctx)
	}
	o, err := c.options()
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	in, err := c.read(o)
	if err != nil {
		return err
	}
	d, err := c.deployer(ctx, o, in)
	if err != nil {
		return err
	}
	have, err := d.observe(ctx)
	if err != nil {
		return err
	}
	if err := in.missing(have); err != nil {
		return err
	}
	return c.deploy(ctx, o, in, d, have)
}

// deploy builds, plans, asks and applies.
func (c command) deploy(ctx context.Context, o options, in inputs, d *deployer, have state) error {
	revision, img, digest, err := c.image(ctx, o)
	if err != nil {
		return err
	}
	if have.exists {
		if have.pushed, err = d.registry.has(ctx, digest); err != nil {
			return err
		}
	}
	prints := secretPrints(d.app, in.values, d.rounds)
	p := makePlan(desired{
		settings: in.settings, org: o.org, count: o.machines, version: revision, prints: prints,
		image: d.registry.repo.Digest(digest.String()).String(),
	}, have)
	fmt.Fprint(c.out, p)
	switch {
	case p.empty():
		fmt.Fprintln(c.out, "Nothing to do.")
		return nil
	case o.dryRun:
		fmt.Fprintln(c.out, "This was a dry run: nothing was done.")
		return nil
	case !o.yes && !c.agrees():
		return errors.New("not agreed to: nothing was done (-yes agrees beforehand)")
	}
	if err := c.meetSchema(ctx, o, in, d); err != nil {
		return err
	}
	if err := d.apply(ctx, p, work{img: img, values: in.values, prints: prints, mode: in.mode(have), noEvent: o.noEvent}); err != nil {
		return err
	}
	d.say("version %s serves at %s", short(revision), d.url)
	return nil
}

// image makes the image of the checkout.
func (c command) image(ctx context.Context, o options) (revision string, img v1.Image, digest v1.Hash, err error) {
	if revision = o.revision; revision == "" {
		if revision, err = checkout(ctx, o.root, o.allowDirty); err != nil {
			return "", nil, digest, err
		}
	}
	if img, err = c.make(ctx, o.root, revision); err != nil {
		return "", nil, digest, err
	}
	digest, err = img.Digest()
	return revision, img, digest, err
}

// makeImage builds the program and the image around it.
func makeImage(ctx context.Context, root, revision string) (v1.Image, error) {
	program, err := build(ctx, root, goarch, revision)
	if err != nil {
		return nil, err
	}
	return newImage(program, goarch, revision)
}

// agrees asks the human; anything but yes, and nobody there, is no.
func (c command) agrees() bool {
	fmt.Fprint(c.out, "Do it? [y/N] ")
	line, _ := bufio.NewReader(c.in).ReadString('\n') // what was read before an error counts
	fmt.Fprintln(c.out)
	line = strings.ToLower(strings.TrimSpace(line))
	return line == "y" || line == "yes"
}

// deployer connects everything and asks nobody yet.
func (c command) deployer(ctx context.Context, o options, in inputs) (*deployer, error) {
	client, err := newPlatform(ctx, in.token, c.getenv("FLY_FLAPS_BASE_URL"))
	if err != nil {
		return nil, err
	}
	app := in.settings.App
	reg, err := newRegistry(cmp.Or(c.getenv("FLY_REGISTRY_HOST"), "registry.fly.io"), app, tokens.Parse(in.token).Docker())
	if err != nil {
		return nil, err
	}
	web := &http.Client{
		Timeout: 15 * time.Second,
		// A redirected wake-up would arrive as an empty GET, and be counted as delivered.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	d := &deployer{
		progress: newProgress(c.out), fly: client, registry: reg, app: app, http: web,
		logs:     logs{base: cmp.Or(c.getenv("FLY_API_BASE_URL"), "https://api.fly.io"), token: in.token, http: web},
		url:      strings.TrimSuffix(cmp.Or(o.url, "https://"+app+".fly.dev"), "/"),
		secret:   webhookSecret(in.values),
		patience: 90 * time.Second, pace: 500 * time.Millisecond, ttl: 30 * time.Second, leaseWait: 45 * time.Second,
		rounds: secretRounds,
	}
	c.tune(d)
	return d, nil
}
