package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"roomcast/functions/relay"
	"roomcast/shared/admin"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
	"roomcast/shared/selfcheck"
	"roomcast/shared/terminal"
	"roomcast/shared/token"
	"roomcast/shared/web"
)

const (
	selfcheckLimit = 5 * time.Second  // for all questions together
	eventLimit     = 10 * time.Second // for a test event
	eventAgain     = 2 * time.Second  // after which another is written: another machine may have taken the first
)

// selfCheck answers GET /selfcheck: what this process sees of its database, its Pusher
// app, the key set and the clocks, for doctor and deploy. Each part answers for itself;
// none tells a secret.
type selfCheck struct {
	cfg     Config
	pusher  *pusher.Client
	tokens  *token.Verifier
	journal *journal
	db      *outbox.DB   // nil in forward-only mode
	relay   *relay.Relay // nil in forward-only mode
	polling *polling     // likewise
	freezes bool
	turn    chan struct{} // one at a time
}

// ServeHTTP asks everybody at once, and with ?event=1 sends a test event first; with
// ?only=relay it asks nobody.
func (s *selfCheck) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	report := selfcheck.Report{
		Version: version(), Mode: s.cfg.mode(), Channels: kindNames(s.cfg.kinds), PackedRooms: s.cfg.PackedRooms,
		ClientMode: s.cfg.ClientMode, Origins: s.cfg.AllowedOrigins, SupabaseURL: s.cfg.SupabaseURL,
	}
	if secret, ok := web.Bearer(r); ok {
		report.Prints = s.cfg.prints(secret)
	}
	if r.URL.Query().Get("event") == "1" {
		sent := s.sendEvent(r.Context())
		report.Event = &sent
	}
	if r.URL.Query().Get("only") != "relay" {
		s.ask(r.Context(), &report)
	}
	if s.relay != nil {
		report.Relay = s.journal.report(s.relay.Busy())
		report.Relay.Polling = s.polling.report(time.Now())
	}
	return web.WriteJSON(w, http.StatusOK, report)
}

func (s *selfCheck) ask(ctx context.Context, report *selfcheck.Report) {
	ctx, cancel := context.WithTimeout(ctx, selfcheckLimit)
	defer cancel()
	var asking sync.WaitGroup
	asking.Go(func() { report.Pusher = s.askPusher(ctx) })
	if s.cfg.SupabaseURL != "" {
		asking.Go(func() {
			err := s.tokens.Check(ctx)
			report.Keys = &selfcheck.Keys{Reachable: err == nil, Error: oneLine(err)}
		})
	}
	report.Clock.Function = time.Now()
	if s.db != nil {
		asking.Go(func() { report.Database, report.Clock = s.askDatabase(ctx) })
	}
	asking.Wait()
}

func (s *selfCheck) askPusher(ctx context.Context) selfcheck.Pusher {
	p := selfcheck.Pusher{AppID: s.cfg.PusherAppID, Key: s.cfg.PusherKey, Cluster: s.cfg.PusherCluster, Host: s.cfg.PusherHost}
	_, err := s.pusher.Check(ctx)
	p.Reachable, p.Error, p.Status = err == nil, oneLine(err), http.StatusOK
	if err != nil {
		p.Status = 0
	}
	if answer := (*pusher.Error)(nil); errors.As(err, &answer) {
		p.Status = answer.Status
	}
	return p
}

func (s *selfCheck) askDatabase(ctx context.Context) (*selfcheck.Database, selfcheck.Clock) {
	host, port := s.db.Host()
	db := &selfcheck.Database{Host: net.JoinHostPort(host, fmt.Sprint(port))}
	before := time.Now()
	d, err := (admin.Operator{DB: s.db}).Describe(ctx)
	clock := selfcheck.Clock{Function: time.Now()}
	db.Reachable, db.Error = d.Name != "", oneLine(err)
	db.Name, db.ServerVersion, db.Role = d.Name, d.ServerVersion, d.Role
	db.Schema, db.SystemIdentifier, db.ReadOnly, db.PusherApp = d.SchemaVersion, d.SystemIdentifier, d.ReadOnly, d.App
	if db.Reachable {
		middle := before.Add(clock.Function.Sub(before) / 2)
		clock.SkewSeconds = d.Now.Sub(middle).Seconds()
	}
	db.SchemaExpected, db.Missing = admin.Expected(db.Schema)
	return db, clock
}

// sendEvent has a test event go the way of all events: through the outbox, this
// process's relay, and Pusher. In forward-only mode it publishes one itself.
func (s *selfCheck) sendEvent(ctx context.Context) selfcheck.Event {
	ctx, cancel := context.WithTimeout(ctx, eventLimit)
	defer cancel()
	start := time.Now()
	send := s.sendThroughOutbox
	if s.db == nil {
		send = s.sendItself
	}
	err := send(ctx)
	return selfcheck.Event{Accepted: err == nil, Error: oneLine(err), Seconds: time.Since(start).Seconds()}
}

func (s *selfCheck) sendItself(ctx context.Context) error {
	var batch []pusher.Event
	for _, kind := range event.NewChannels(s.cfg.kinds, s.cfg.PackedRooms).Carriers(admin.ProbeRoom) {
		name, err := event.ChannelName(kind, admin.ProbeRoom)
		if err != nil {
			return err
		}
		batch = append(batch, pusher.Event{Channel: name, Name: "selfcheck", Data: []byte("{}")})
	}
	return s.pusher.PublishBatch(ctx, batch)
}

func (s *selfCheck) sendThroughOutbox(ctx context.Context) error {
	for {
		accepted := s.journal.nextProbe()
		if err := (admin.Operator{DB: s.db}).Probe(ctx); err != nil {
			return err
		}
		if s.freezes {
			if err := s.relay.Empty(ctx); err != nil {
				return err
			}
		} else {
			s.relay.Wake()
		}
		select {
		case <-accepted:
			return nil
		case <-time.After(eventAgain):
		case <-ctx.Done():
			return errors.New(cmp.Or(s.journal.failure(), fmt.Sprintf("this machine sent no test event within %s", eventLimit)))
		}
	}
}

func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return terminal.OneLine(err.Error())
}

func kindNames(kinds []event.ChannelKind) []string {
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = string(kind)
	}
	return names
}
