-- 005: what an INSERT of the chat pays. When the bell was rung last stands where every
-- writer sees it at little cost, and a check is gone that cost a tenth of the capture.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));

-- One row, read by every writer. It is not in roomcast.awake: a commit that hangs must
-- not keep a relay from taking its lease.
create table if not exists roomcast.bell (
  one  boolean primary key default true constraint bell_has_one_row check (one),
  rung timestamptz not null
);
comment on column roomcast.bell.rung is 'When a bell was last seen on its way. Who writes within a second of it rings no other, unless a lease has answered it since.';
insert into roomcast.bell (rung) values ('-infinity') on conflict do nothing;
alter table roomcast.bell set (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- Postgres reads a CHECK anew from its text in every statement. Only Roomcast's own
-- functions write op, and the relay parks what it does not know. The chat does not queue
-- behind this for long: it gives up after three seconds, and can be done again.
set local lock_timeout = '3s';
alter table roomcast.outbox drop constraint if exists op_is_a_row_operation;
comment on column roomcast.outbox.op is 'INSERT, UPDATE or DELETE: what the event tells, which for a row that moved is not what was done.';

insert into roomcast.migrations (version) values (5) on conflict do nothing;
commit;
