-- 001: the outbox's tables. 001_schema_access.sql, the second half, has the others.
--
-- Forward-only, and harmless to apply twice: by admin.Migrate, by `psql -f install.sql`, or
-- by the Supabase SQL editor. Functions are in the other files, which show today's code
-- and are applied again after every migration. Nothing here waits long for the chat's own
-- transactions: see lock_timeout.
begin;

-- Two people who install at once take turns.
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

do $$
begin
  if current_setting('server_encoding') <> 'UTF8' then
    raise exception 'this database is in %, and Roomcast needs one in UTF8: a row that no claim could convert would hold up all rooms', current_setting('server_encoding')
      using errcode = 'feature_not_supported', hint = 'Dump it, and restore it into: create database new template template0 encoding ''UTF8''';
  end if;
end
$$;

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
  bulk       int not null default 200 constraint bulk_is_positive check (bulk > 0),
  pusher_app  text,
  home        text,
  identity    text,
  incarnation text not null default '',
  claims_from timestamptz,
  restoring      bigint,
  restoring_from xid8,
  restoring_xids xid8[] not null default '{}',
  nonce          uuid not null default gen_random_uuid()
);
comment on column roomcast.settings.url        is 'Where wake-ups go: the relay''s POST /webhooks/supabase. Null: no wake-ups.';
comment on column roomcast.settings.secret     is 'The wake-up''s bearer token, unless Vault keeps it.';
comment on column roomcast.settings.vault_name is 'The name under which Vault keeps the wake-up''s bearer token.';
comment on column roomcast.settings.timeout_ms is 'How long pg_net waits for the wake-up''s answer: a stopped machine needs up to 2 s to start.';
comment on column roomcast.settings.retention  is 'How long sent rows stay, so that browsers can catch up.';
comment on column roomcast.settings.bulk       is 'A statement that changes more rows of one room than this makes one event.';
comment on column roomcast.settings.pusher_app  is 'The Pusher app whose relays may claim: what configure() says, or the first that did.';
comment on column roomcast.settings.home        is 'The database that configure() was called in: a copy elsewhere wakes nobody.';
comment on column roomcast.settings.identity    is 'Cluster, timeline, database and outbox when rows were last numbered: another one means a restored database.';
comment on column roomcast.settings.claims_from is 'When claims go on after a restore: not before the leases have ended that it took back.';
comment on column roomcast.settings.restoring   is 'After a restore, until all rows without a number are found: how far that has come.';
comment on column roomcast.settings.restoring_xids is 'Transactions whose rows are new to the numbering: those that were open when it began, and those that have found some.';
comment on column roomcast.settings.restoring_from is 'So are all from this one on.';
comment on column roomcast.settings.nonce is 'What a mark that triggers leave for one another is made with, so that no user can make one.';
comment on column roomcast.settings.incarnation is 'Part of every room''s epoch; another one after each restore.';
insert into roomcast.settings default values on conflict do nothing;

create table if not exists roomcast.attached_tables (
  id          int generated always as identity primary key,
  relation    regclass not null,
  name        text not null,
  kind        text not null constraint kind_is_known check (kind in ('rows', 'members', 'presence', 'send')),
  room        text,
  users       text,
  shape       text not null default 'one' constraint shape_is_known check (shape in ('one', 'array', 'query')),
  room_column name,
  user_column name constraint members_have_users check ((kind = 'members') = (user_column is not null)),
  active      text,
  columns     text[],
  ids         text[] not null,
  old         text[],
  keys        text[] not null,
  uses        text[],
  watched     text[],
  row_wise    boolean not null default false,
  numbers     jsonb,
  fingerprint text,
  attached_at timestamptz not null default now(),
  detached_at timestamptz,
  time_column name,
  repairs     boolean not null default false,
  children    regclass[] not null default '{}',
  known_as    text not null default '',
  constraint one_name_per_table unique (relation, name)
);
comment on table  roomcast.attached_tables             is 'The tables that are relayed, each under one name or several. A detached one stays, for the rows of it still kept.';
comment on column roomcast.attached_tables.name        is 'What its events are called: message, member, reaction …';
comment on column roomcast.attached_tables.room        is 'SQL over the row r: the room or rooms it goes to.';
comment on column roomcast.attached_tables.users       is 'SQL over the row r: the users to whose personal streams it goes.';
comment on column roomcast.attached_tables.shape       is 'What room or users is: one value, an array, or a query. Of members: whether user_column is an array.';
comment on column roomcast.attached_tables.room_column is 'Where room is just a column.';
comment on column roomcast.attached_tables.active      is 'SQL over the row r: whether it makes its user a member. Null: always.';
comment on column roomcast.attached_tables.columns     is 'The columns that may leave the database. Null: all.';
comment on column roomcast.attached_tables.ids         is 'The columns by which a row is known.';
comment on column roomcast.attached_tables.old         is 'The columns whose former values come along.';
comment on column roomcast.attached_tables.keys        is 'The ids, and the room column if it may leave: all that a deletion or a stub carries.';
comment on column roomcast.attached_tables.uses        is 'The columns that room, users and active depend on.';
comment on column roomcast.attached_tables.watched     is 'Null: present() fills it in, with the columns of today whose change is news.';
comment on column roomcast.attached_tables.row_wise    is 'Its rows are written under other tables'' names (partitions, inheritance): captured one by one.';
comment on column roomcast.attached_tables.numbers     is 'The table''s columns by name, as pg_attribute numbers them: a renamed one is found again.';
comment on column roomcast.attached_tables.fingerprint is 'Of the columns for which its trigger functions were written.';
comment on column roomcast.attached_tables.children    is 'The partitions and inheriting tables that it was last seen to have: see follow_children().';
comment on column roomcast.attached_tables.known_as    is 'Its schema and name when it was attached: where another table has them now, that one is not relayed, and doctor says so, unless a dump made it. Empty: it is not missed.';
comment on column roomcast.attached_tables.time_column is 'The column that says when a row was written. Null: the audit finds one itself.';
comment on column roomcast.attached_tables.repairs     is 'Whether the hourly audit enqueues again what it finds missing.';

-- The outbox proper. A row is written once, by the trigger, in the user's own
-- transaction, and never updated but to take a deleted message's text away: numbering,
-- sending and parking are kept elsewhere, so that a burst costs no second version of its
-- rows.
create table if not exists roomcast.outbox (
  id           bigint generated always as identity primary key,
  xid          xid8 not null default pg_current_xact_id(),
  at           timestamptz not null default clock_timestamp(),
  attached     int not null,
  op           text not null,
  room         text collate "C" not null,
  key_hash     bigint not null,
  record       text not null,
  old          text,
  name         text,
  stub         boolean not null default false,
  wants_wakeup boolean not null default false
);
comment on column roomcast.outbox.xid          is 'The writing transaction: a row is new to the numbering exactly when this was not visible to the last one.';
comment on column roomcast.outbox.attached     is 'attached_tables.id; no foreign key, which would lock a shared row for every message.';
comment on column roomcast.outbox.op           is 'INSERT, UPDATE, DELETE, SEND or BULK: what the event tells, which for a row that moved is not what was done. No CHECK: it would cost every INSERT of the chat.';
comment on column roomcast.outbox.room         is 'The key of the room, or of the user to whose personal stream it goes: see room_key() and user_key().';
comment on column roomcast.outbox.key_hash     is 'Hash of attached table and primary key: finds a message''s rows when it is deleted.';
comment on column roomcast.outbox.record       is 'The allowed columns as Postgres wrote them, as one JSON object, never as jsonb; the ids only of a DELETE or a stub.';
comment on column roomcast.outbox.old          is 'The former values of the columns that the attachment names for it.';
comment on column roomcast.outbox.name         is 'Of a SEND: the event''s own name.';
comment on column roomcast.outbox.stub         is 'The record is ids only: the row was over 256 kB, or could not be converted.';
comment on column roomcast.outbox.wants_wakeup is 'Written while the relay slept, first of its transaction: requests a wake-up at commit.';

-- Sequence numbers, one row per room and numbering, not per message: the row ids[i] has
-- seq first_seq + i - 1. Append-only until retention.
create table if not exists roomcast.seq_ranges (
  room      text collate "C" not null,
  first_seq bigint not null,
  last_seq  bigint not null,
  ids       bigint[] not null,
  at        timestamptz not null default clock_timestamp(),
  newest    timestamptz not null default clock_timestamp(),
  primary key (room, first_seq),
  constraint range_is_gapless check (cardinality(ids) = last_seq - first_seq + 1)
);

comment on column roomcast.seq_ranges.at     is 'When these rows were numbered.';
comment on column roomcast.seq_ranges.newest is 'When the last of these rows was written.';

-- One row per room and user with a number. Claim and ack update columns that no index
-- knows, so that Postgres keeps the versions on one page (HOT): a room that waits for no
-- claim under way has attention, and is found by that.
create table if not exists roomcast.rooms (
  room      text collate "C" primary key,
  epoch     text not null default substr(md5(gen_random_uuid()::text), 1, 8),
  head_seq  bigint not null default 0,
  sent_seq  bigint not null default 0,
  fence     bigint not null default 0,
  due       timestamptz not null default clock_timestamp(),
  attention timestamptz,
  holder    text,
  accepted  timestamptz,
  constraint sent_is_numbered check (sent_seq between 0 and head_seq)
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
comment on column roomcast.rooms.room      is 'The key: a room''s id, with a leading @ doubled; or @ and the uuid of a user.';
comment on column roomcast.rooms.epoch     is 'Changes when the numbering starts again: clients then start over. settings.incarnation is appended.';
comment on column roomcast.rooms.head_seq  is 'The last number given.';
comment on column roomcast.rooms.sent_seq  is 'All up to here was accepted by Pusher, or parked.';
comment on column roomcast.rooms.accepted  is 'When sent_seq last moved on.';
comment on column roomcast.rooms.fence     is 'Counts the claims: an ack that names an older one is refused.';
comment on column roomcast.rooms.due       is 'When the room may be claimed: a lease and a backoff both move it ahead.';
comment on column roomcast.rooms.attention is 'When the room is to be claimed again, if rows were left. Null under a lease: find_expired() looks for one that ended unanswered.';
comment on column roomcast.rooms.holder    is 'The relay that holds the lease: host:pid, and @ what release_leases() knows it by.';

create table if not exists roomcast.parked (
  room      text collate "C" not null,
  seq       bigint not null,
  outbox_id bigint not null,
  reason    text not null,
  at        timestamptz not null default clock_timestamp(),
  primary key (room, seq)
);
comment on table roomcast.parked is 'Events that Pusher will never take. They keep their seq; clients fetch them over HTTP.';

-- The newest row is the snapshot up to which rows are numbered. The rows still to be
-- numbered are those whose transaction it could not see, which index lookups find: xid >=
-- next_xid, or xid = any (open_xids). A row is added for each numbering and old ones are
-- removed behind it: an update would leave versions that a long snapshot keeps, and every
-- reader would have to step over them.
create table if not exists roomcast.cursor (
  id          bigint generated always as identity primary key,
  next_xid    xid8 not null,
  open_xids   xid8[] not null,
  large_xids  xid8[] not null default '{}',
  large_from  bigint[] not null default '{}',
  restored_id bigint not null default 0
);
comment on column roomcast.cursor.large_xids  is 'Transactions with too many rows for one numbering. They are numbered in steps, and are among open_xids meanwhile.';
comment on column roomcast.cursor.large_from  is 'For each of large_xids: rows up to this id are numbered.';
comment on column roomcast.cursor.restored_id is 'Rows up to this id may have xids of another cluster, which say nothing here: they are numbered if a range holds them.';
insert into roomcast.cursor (next_xid, open_xids)
select '0', '{}' where not exists (select from roomcast.cursor);

-- Clocks, in microseconds since 1970. Every writer reads the first: before then it requests no
-- wake-up, since a relay polls, or one is on its way. They are sequences for the sake of
-- what a sequence is not: no row versions, which a long snapshot would keep for every
-- INSERT to step over; no transaction, which could hang with the value; no lock; nothing
-- for a serializable transaction to conflict with.
create sequence if not exists roomcast.no_wakeup_before minvalue 0;   -- follows the next two: see set_clock()
create sequence if not exists roomcast.awake_until minvalue 0;        -- until when a relay polls
create sequence if not exists roomcast.wakeup_requested minvalue 0;   -- when a wake-up was last seen on its way
create sequence if not exists roomcast.unanswered_since minvalue 0;   -- the first wake-up that no lease has answered
create sequence if not exists roomcast.last_claim       minvalue 0;   -- that leased something
create sequence if not exists roomcast.expired_checked  minvalue 0;   -- see find_expired()
create sequence if not exists roomcast.canary_written   minvalue 0;

-- What capture itself keeps. The chat's transactions only append here, so that none of
-- them ever waits for a row of another's.
create table if not exists roomcast.unroutable (
  id       bigint generated always as identity primary key,
  attached int not null,
  op       text not null,
  reason   text not null,
  count    bigint not null default 1,
  at       timestamptz not null default clock_timestamp()
);
comment on table roomcast.unroutable is 'Changes that went nowhere, counted by statement and reason; fold_unroutable() keeps it small.';

create table if not exists roomcast.departures (
  id      bigint generated always as identity primary key,
  user_id text not null,
  room    text,
  at      timestamptz not null default clock_timestamp()
);
comment on table  roomcast.departures      is 'Users whose membership ended, written with the change itself; fold_departures() makes revocations of them.';
comment on column roomcast.departures.room is 'Another row made the user a member of this room when this was written; check_departures() asks again after the commit. Null: the user is to be disconnected.';

create table if not exists roomcast.scrub_queue (
  id         bigint generated always as identity primary key,
  attached   int not null,
  room       text,
  key_hashes bigint[],
  last_id    bigint not null,
  done_id    bigint not null default 0,
  at         timestamptz not null default clock_timestamp()
);
comment on table  roomcast.scrub_queue            is 'Deleted rows whose text is still to be taken out of kept outbox rows; scrub_queued() works it off.';
comment on column roomcast.scrub_queue.room       is 'Rows of this room only. Null: wherever they were sent.';
comment on column roomcast.scrub_queue.key_hashes is 'The rows. Null: all that the table no longer has (it, or a part of it, was truncated).';
comment on column roomcast.scrub_queue.last_id    is 'Outbox rows behind this one are not meant.';
comment on column roomcast.scrub_queue.done_id    is 'How far a truncated table''s rows have been scrubbed.';

-- One captured event on its way into the outbox: n is the position of its row in the
-- statement, member the user whose membership it tells of.
do $$
begin
  if to_regtype('roomcast.captured') is null then
    create type roomcast.captured as (
      n bigint, op text, room text, key_hash bigint, record text, old text, stub boolean, member text);
  end if;
end
$$;

-- "create index if not exists" waits for every open writer before it sees that the index
-- is there, and the chat's next INSERT waits behind it.
do $$
begin
  if to_regclass('roomcast.outbox_xid') is null then
    create index outbox_xid      on roomcast.outbox (xid, id);
    create index outbox_key      on roomcast.outbox (key_hash);
    create index seq_ranges_at   on roomcast.seq_ranges (at);
    create index rooms_attention on roomcast.rooms (attention) where attention is not null;
    create index departures_room on roomcast.departures (id) where room is not null;
  end if;
end
$$;

commit;
