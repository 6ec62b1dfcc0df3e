-- 005: when the bell was rung last, where every writer sees it at little cost.
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

insert into roomcast.migrations (version) values (5) on conflict do nothing;
commit;
