-- 004: the dual run's evidence, and what the audit needs to know.
--
-- Nothing is written here before the first receipt arrives, and everything is
-- removed two weeks later: after the move the tables are empty by themselves.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));

-- What pages saw, summed up: one row per room and hour, whatever the traffic.
create table if not exists roomcast.parity (
  room             text not null,
  hour             timestamptz not null constraint hour_is_whole check (hour = date_trunc('hour', hour, 'UTC')),
  receipts         bigint not null default 0,
  pages            bigint not null default 0,
  committed        bigint not null default 0,
  saw_both         bigint not null default 0,
  only_pusher      bigint not null default 0,
  only_supabase    bigint not null default 0,
  fetched          bigint not null default 0,
  pusher_repeats   bigint not null default 0,
  supabase_repeats bigint not null default 0,
  flips            bigint not null default 0,
  skewed           bigint not null default 0,
  pusher_delays    bigint[] not null default '{}',
  supabase_delays  bigint[] not null default '{}',
  primary key (room, hour)
);
comment on table  roomcast.parity                 is 'What pages that listen to both Supabase Realtime and Pusher have seen. Counts of counts, no content, no user.';
comment on column roomcast.parity.hour            is 'The hour in which the receipt came, by the database''s clock.';
comment on column roomcast.parity.pages           is 'Pages that sent a receipt in this hour.';
comment on column roomcast.parity.committed       is 'New messages of this hour whose outbox rows the retention has taken; those still kept are counted there.';
comment on column roomcast.parity.fetched         is 'Of what was seen by way of Pusher: fetched over HTTP after a gap. Not in pusher_delays.';
comment on column roomcast.parity.pusher_repeats  is 'Events a page got a second time, and dropped.';
comment on column roomcast.parity.flips            is 'Pairs of events that the two sides brought in different orders.';
comment on column roomcast.parity.skewed          is 'Receipts whose delays were left out, because the page''s clock was off.';
comment on column roomcast.parity.pusher_delays   is 'Histogram, commit to page; its edges are in functions/parity/histogram.go. Trailing zeros are left out.';
create index if not exists parity_hour on roomcast.parity (hour);

-- The last receipt of each page and room, so that a repeat counts nothing twice.
-- user_id is part of the key: nobody can spend another's numbers.
create table if not exists roomcast.receipts (
  user_id  uuid not null,
  page     uuid not null,
  room     text not null,
  n        bigint not null,
  hour     timestamptz not null,
  first_at timestamptz not null default clock_timestamp(),
  at       timestamptz not null default clock_timestamp(),
  primary key (user_id, page, room)
);
create index if not exists receipts_at on roomcast.receipts (at);

-- Transactions that wrote with roomcast.capture = 'off': what they left out of the
-- outbox was left out on purpose, and the audit must not call it lost.
create table if not exists roomcast.quiet (
  source int not null,
  xid    bigint not null,
  at     timestamptz not null default clock_timestamp(),
  primary key (source, xid)
);
comment on column roomcast.quiet.xid is 'As xmin shows it, 32 bits: of the transaction, or of the savepoint within.';

-- What the hourly audit found and mended, for two weeks.
create table if not exists roomcast.audits (
  at       timestamptz not null default clock_timestamp(),
  relation text,
  problem  text not null,
  found    bigint,
  repaired bigint not null default 0,
  note     text
);
create index if not exists audits_at on roomcast.audits (at);

alter table roomcast.sources add column if not exists time_column name;
alter table roomcast.sources add column if not exists repairs boolean not null default false;
comment on column roomcast.sources.time_column is 'The column that says when a row was written. Null: the audit finds one itself.';
comment on column roomcast.sources.repairs     is 'Whether the hourly audit enqueues again what it finds missing.';

alter table roomcast.parity   set (fillfactor = 70);
alter table roomcast.receipts set (fillfactor = 70);

insert into roomcast.migrations (version) values (4) on conflict do nothing;
commit;
