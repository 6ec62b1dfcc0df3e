-- 001: the outbox, its numbering and its leases.
--
-- Forward-only, and harmless to apply twice: by outbox.Migrate, by `psql -f`,
-- or by the Supabase SQL editor. Functions live in functions.sql, which shows
-- today's code and is applied again after every migration.
begin;

-- Two people installing at once take turns.
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));

create schema if not exists roomcast;
comment on schema roomcast is 'Roomcast: carries committed rows to Pusher. `drop schema roomcast cascade` removes it and leaves your tables as they were.';
revoke all on schema roomcast from public;

do $$
begin
  if not exists (select from pg_roles where rolname = 'roomcast_relay') then
    create role roomcast_relay nologin;
  end if;
end
$$;
grant usage on schema roomcast to roomcast_relay;

create table if not exists roomcast.migrations (
  version    int primary key,
  applied_at timestamptz not null default now()
);
comment on table roomcast.migrations is 'Which numbered files have been applied.';

-- One row: what configure() was told, and what the database knows of itself.
create table if not exists roomcast.settings (
  one        boolean primary key default true constraint settings_has_one_row check (one),
  url        text    constraint url_is_http check (url ~ '^https?://'),
  secret     text,
  vault_name text,
  timeout_ms int not null default 5000 constraint timeout_pg_net_takes check (timeout_ms between 1000 and 10000),
  retention  interval not null default '24 hours' constraint retention_is_positive check (retention > '0'),
  cluster_id bigint
);
comment on column roomcast.settings.url        is 'Where the bell rings: the relay''s POST /webhooks/supabase. Null: no bell.';
comment on column roomcast.settings.secret     is 'The bell''s bearer token, unless Vault keeps it.';
comment on column roomcast.settings.vault_name is 'The name under which Vault keeps the bell''s bearer token.';
comment on column roomcast.settings.timeout_ms is 'How long pg_net waits for the bell''s answer: a stopped machine needs up to 2 s to start.';
comment on column roomcast.settings.retention  is 'How long sent rows stay, so that browsers can catch up.';
comment on column roomcast.settings.cluster_id is 'pg_control_system().system_identifier when rows were last numbered: another one means a restored database.';
insert into roomcast.settings default values on conflict do nothing;

create table if not exists roomcast.sources (
  id          int generated always as identity primary key,
  relation    regclass not null constraint one_source_per_table unique,
  kind        text not null constraint kind_has_a_rule check (kind in ('messages', 'members')),
  room_column name not null,
  user_column name constraint members_have_users check ((kind = 'members') = (user_column is not null)),
  columns     text[],
  keys        text[] not null,
  attached_at timestamptz not null default now(),
  detached_at timestamptz
);
comment on table  roomcast.sources         is 'The tables that are relayed. A detached one stays, for the rows of it still kept.';
comment on column roomcast.sources.columns is 'The columns that may leave the database. Null: all.';
comment on column roomcast.sources.keys    is 'The columns that identify a row: all that a deletion or a stub carries.';

-- The outbox proper. A row is written once, by the trigger, in the user's own
-- transaction, and never updated but to take a deleted message's text away:
-- numbering, sending and parking are kept elsewhere, so that a burst costs no
-- second version of its rows.
create table if not exists roomcast.outbox (
  id       bigint generated always as identity primary key,
  xid      xid8 not null default pg_current_xact_id(),
  at       timestamptz not null default clock_timestamp(),
  source   int not null,
  op       text not null constraint op_is_a_row_operation check (op in ('INSERT', 'UPDATE', 'DELETE')),
  room     text not null,
  key_hash bigint not null,
  record   jsonb not null,
  wakes    boolean not null default false
);
comment on column roomcast.outbox.xid      is 'The writing transaction: a row is new to the numbering exactly when this was not visible to the last one.';
comment on column roomcast.outbox.source   is 'sources.id; no foreign key, which would lock a shared row for every message.';
comment on column roomcast.outbox.room     is 'The room column as text.';
comment on column roomcast.outbox.key_hash is 'Hash of source and primary key: finds a message''s rows when it is deleted.';
comment on column roomcast.outbox.record   is 'The allowed columns: of the new row, or of the old one of a DELETE.';
comment on column roomcast.outbox.wakes    is 'Written while the relay slept, first of its transaction: rings the bell at commit.';
create index if not exists outbox_xid on roomcast.outbox (xid);
create index if not exists outbox_key on roomcast.outbox (key_hash);

-- Sequence numbers, one row per room and numbering, not per message: the
-- message ids[i] has seq first_seq + i - 1. Append-only until retention.
create table if not exists roomcast.runs (
  room      text not null,
  first_seq bigint not null,
  last_seq  bigint not null,
  ids       bigint[] not null,
  at        timestamptz not null default clock_timestamp(),
  primary key (room, first_seq),
  constraint run_is_gapless check (cardinality(ids) = last_seq - first_seq + 1)
);
create index if not exists runs_at on roomcast.runs (at);

create table if not exists roomcast.rooms (
  room     text primary key,
  epoch    text not null default substr(md5(gen_random_uuid()::text), 1, 8),
  head_seq bigint not null default 0,
  sent_seq bigint not null default 0,
  fence    bigint not null default 0,
  due      timestamptz not null default clock_timestamp(),
  holder   text,
  constraint sent_is_numbered check (sent_seq between 0 and head_seq)
);
comment on column roomcast.rooms.epoch    is 'Changes when the numbering starts anew: clients then start over.';
comment on column roomcast.rooms.head_seq is 'The last number given.';
comment on column roomcast.rooms.sent_seq is 'All up to here was accepted by Pusher, or parked.';
comment on column roomcast.rooms.fence    is 'Counts the claims: an ack that names an older one is refused.';
comment on column roomcast.rooms.due      is 'When the room may be claimed: a lease and a backoff both move it ahead.';
comment on column roomcast.rooms.holder   is 'The relay that holds the lease, for people to read.';
create index if not exists rooms_due on roomcast.rooms (due) where head_seq > sent_seq;

create table if not exists roomcast.parked (
  room      text not null,
  seq       bigint not null,
  outbox_id bigint not null,
  reason    text not null,
  at        timestamptz not null default clock_timestamp(),
  primary key (room, seq)
);
comment on table roomcast.parked is 'Events that Pusher will never take. They keep their seq; clients fetch them over HTTP.';

-- One row: the snapshot up to which rows are numbered. The rows still to be
-- numbered are those whose transaction it could not see, which two index
-- lookups find: xid >= next_xid, or xid = any (open_xids).
create table if not exists roomcast.cursor (
  one  boolean primary key default true constraint cursor_has_one_row check (one),
  next_xid  xid8 not null,
  open_xids xid8[] not null
);
insert into roomcast.cursor (next_xid, open_xids) values ('0', '{}') on conflict do nothing;

-- One row, read by every writer and locked by none: until when the relay polls.
create table if not exists roomcast.awake (
  one   boolean primary key default true constraint awake_has_one_row check (one),
  until timestamptz not null
);
insert into roomcast.awake (until) values ('-infinity') on conflict do nothing;

create table if not exists roomcast.roomless (
  source int not null,
  op     text not null,
  at     timestamptz not null default clock_timestamp()
);
comment on table roomcast.roomless is 'One row for each change that had no room, and so was not relayed.';

-- These few rows are updated all day: clean them often, and leave room for it.
alter table roomcast.cursor set (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
alter table roomcast.awake  set (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
alter table roomcast.rooms  set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

-- The two functions a team replaces. They are made once, here, so that applying
-- functions.sql again never overwrites the team's own.
do $$
begin
  if to_regprocedure('roomcast.can_read(text,uuid,jsonb)') is null then
    create function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
    language plpgsql stable set search_path = '' as $f$
    begin
      return roomcast.is_member($1, $2);
    end
    $f$;
    comment on function roomcast.can_read(text, uuid, jsonb) is 'May this user read this room? By default: members only. Replace it with create or replace function.';
  end if;
  if to_regprocedure('roomcast.readable_since(text,uuid)') is null then
    create function roomcast.readable_since(room text, user_id uuid) returns timestamptz
    language sql immutable set search_path = '' as $f$ select timestamptz '-infinity' $f$;
    comment on function roomcast.readable_since(text, uuid) is 'How far back a user may catch up. By default: no limit. Replace it with create or replace function.';
  end if;
end
$$;

insert into roomcast.migrations (version) values (1) on conflict do nothing;
commit;
