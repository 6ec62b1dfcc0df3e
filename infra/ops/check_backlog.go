package main

import (
	"context"
	"strings"
	"time"
)

const (
	// A relay keeps the awake lease a few seconds ahead.
	longLease = time.Minute
	// A transaction this old that wrote rows keeps the relay from its rest.
	longTransaction = time.Minute
)

// checkLease: a clock that was set back leaves a lease far ahead of it.
func (d *doctor) checkLease(ctx context.Context, f *findings) error {
	status, err := d.op.Status(ctx)
	switch {
	case err != nil:
		return err
	case status.Awake > longLease:
		f.warn("select roomcast.leave_awake(); and see why the database's clock was set back", "an awake lease ends only in %s: writers do not believe it, and send wake-ups", span(status.Awake))
	case status.Awake > 0:
		f.ok("a relay is awake")
	default:
		f.ok("asleep: the next row wakes it")
	}
	return nil
}

// checkWaiting checks the oldest row that Pusher has not accepted.
func (d *doctor) checkWaiting(ctx context.Context, f *findings) error {
	status, err := d.op.Status(ctx)
	if err != nil {
		return err
	}
	remedy := "the relay is awake: its log says what Pusher answers; ops inspect ROOM shows a room that is stuck"
	if status.Awake <= 0 {
		remedy = "the relay sleeps: see wake-up, pg_net and sweep above, or wake it with any request"
	}
	switch {
	case status.Waiting == 0:
		f.ok("nothing")
	case status.Oldest > oldFails:
		f.fail(remedy, "%s in %s, the oldest for %s", count(status.Waiting, "row"), count(status.Rooms, "room"), span(status.Oldest))
	case status.Oldest > oldWorries:
		f.warn(remedy, "%s, the oldest for %s", count(status.Waiting, "row"), span(status.Oldest))
	default:
		f.ok("%s, the oldest for %s", count(status.Waiting, "row"), span(status.Oldest))
	}
	return nil
}

// checkParked finds events that were given up.
func (d *doctor) checkParked(ctx context.Context, f *findings) error {
	list, err := d.op.ParkedEvents(ctx, "", 1)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		f.ok("none")
		return nil
	}
	backlog, err := d.op.Backlog(ctx)
	if err != nil {
		return err
	}
	f.warn("ops redrive -parked -dry-run lists them; ops redrive -parked sends them again, once the reason is fixed",
		"%s, such as room %s seq %d: %s", count(backlog.Parked, "event"), list[0].Room, list[0].Seq, list[0].Reason)
	return nil
}

// overdueRevocation is how long a disconnect may take: it is due within two seconds of the commit.
const overdueRevocation = 30 * time.Second

// checkRevocations finds users who lost a membership and still listen, because Pusher
// would not end their connections.
func (d *doctor) checkRevocations(ctx context.Context, f *findings) error {
	var users, tries int64
	err := d.conn.QueryRow(ctx, `select count(*), coalesce(max(tries), 0) from roomcast.revocations where confirmable_at < clock_timestamp() - $1::interval`, overdueRevocation).
		Scan(&users, &tries)
	switch {
	case err != nil:
		return err
	case users > 0:
		f.fail("see pusher above, and the function's log; a relay that is awake goes on trying", "%s who lost a membership may still listen, after %s", count(users, "user"), plural(tries, "try", "tries"))
	default:
		f.ok("nobody listens who may not")
	}
	return nil
}

// checkUnroutable finds changes that went nowhere, by table and reason.
func (d *doctor) checkUnroutable(ctx context.Context, f *findings) error {
	tables, err := d.list(ctx, `select sum(r.count) || ' of ' || coalesce((select s.relation::text || ' as ' || s.name from roomcast.attached_tables s where s.id = r.attached), '?') || ' (' || r.reason || ')'
		from roomcast.unroutable r group by r.attached, r.reason order by sum(r.count) desc limit 10`)
	if err != nil {
		return err
	}
	if len(tables) == 0 {
		f.ok("none")
		return nil
	}
	f.warn("correct the room column or the look-up (select roomcast.attach…); delete from roomcast.unroutable; forgets them",
		"changes that could not be routed were not relayed: %s", strings.Join(tables, ", "))
	return nil
}

// checkTransactions finds one that wrote rows long ago and has not ended: its
// rows cannot be sent, and the relay may not rest meanwhile.
func (d *doctor) checkTransactions(ctx context.Context, f *findings) error {
	open, err := d.list(ctx, `select format('process %s (%s, %s) for %s', a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), a.state, date_trunc('second', now() - a.xact_start))
		from pg_locks l join pg_stat_activity a using (pid)
		where l.locktype = 'relation' and l.relation = 'roomcast.outbox'::regclass and l.mode = 'RowExclusiveLock'
		  and l.database = (select oid from pg_database where datname = current_database())
		  and a.xact_start < now() - $1::interval order by a.xact_start`, d.oldTx)
	if err != nil {
		return err
	}
	if len(open) == 0 {
		f.ok("none holds rows back")
		return nil
	}
	f.warn("end it, or select pg_terminate_backend(<process>);", "an open transaction holds its rows back and the relay awake: %s", strings.Join(open, "; "))
	return nil
}

// checkRetention checks whether sent rows go when their time has come. The sweep sees
// to it, and so does a relay that is awake.
func (d *doctor) checkRetention(ctx context.Context, f *findings) error {
	var late, short bool
	var kept, retention string
	err := d.conn.QueryRow(ctx, `
		select coalesce(k.at < clock_timestamp() - s.retention * 1.5 - interval '10 minutes', false),
		       s.retention < interval '1 hour', coalesce(date_trunc('minute', clock_timestamp() - k.at)::text, '0'), s.retention::text
		  from roomcast.settings s left join lateral (
		    select min(g.at) as at from roomcast.seq_ranges g join roomcast.rooms r using (room) where g.last_seq <= r.sent_seq) k on true`).
		Scan(&late, &short, &kept, &retention)
	switch {
	case err != nil:
		return err
	case short:
		f.fail("select roomcast.configure(retention => '24 hours');", "sent rows go after %s: who was away for longer starts over, and nothing can be redriven", retention)
	case late:
		f.warn("see the sweep above; select roomcast.clean(1000); removes a thousand runs now", "sent rows are kept for %s, and are to go after %s", kept, retention)
	default:
		f.ok("sent rows go after %s", retention)
	}
	return nil
}
