package main

import (
	"context"
	"strings"
)

// checkAudit checks the pg_cron job that compares the chat's tables with the outbox every
// hour, and shows what that found lately: nothing else reports rows that no trigger saw.
func (d *doctor) checkAudit(ctx context.Context, f *findings) error {
	missing, err := d.list(ctx, `
		select format('%s of %s, %s', a.found, coalesce(a.relation, 'the outbox'), a.problem)
		  from (select distinct on (relation, problem) * from roomcast.audits where found is not null and problem in ('missing', 'unnumbered') order by relation, problem, id desc) a
		 where a.found > 0 and not exists (select from roomcast.audits r
		         where r.id > a.id and r.repaired > 0 and r.relation is not distinct from a.relation and r.problem = a.problem)
		 order by a.found desc limit 5`)
	if err != nil {
		return err
	}
	cron, err := d.hasCron(ctx)
	if err != nil {
		return err
	}
	var scheduled bool
	if cron {
		err = d.conn.QueryRow(ctx, `select exists (select from cron.job where command ~ 'roomcast\.scheduled_audit\(\)' and active and database = current_database())`).Scan(&scheduled)
		if err != nil {
			return err
		}
	}
	switch {
	case len(missing) > 0:
		f.warn("select * from roomcast.repair('3 hours'); sends them. How they came past the triggers: see capture above, a restore, logical replication, session_replication_role",
			"the last audit found rows that were not relayed: %s", strings.Join(missing, "; "))
	case cron && !scheduled:
		f.warn("select roomcast.configure(); schedules it", "the hourly audit is not scheduled: rows that came past the triggers are told by nobody")
	case !cron:
		f.skip("without pg_cron it runs when it is asked to: select * from roomcast.audit();")
	default:
		f.ok("every hour; it has found nothing of late")
	}
	return nil
}
