-- 001, second half: the tables of access, presence, the inbox, and the reports.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- Who is to be disconnected. One row per user, whatever the number of rooms, since one
-- call to Pusher ends all of a user's connections. A row is written after user-left was
-- accepted and goes when Pusher has confirmed a disconnect that was late enough.
create table if not exists roomcast.revocations (
  user_id        text primary key,
  confirmable_at timestamptz not null,
  due            timestamptz not null,
  tries          int not null default 0
);
comment on table  roomcast.revocations                is 'Users whose connections Pusher is to end.';
comment on column roomcast.revocations.confirmable_at is 'A disconnect before this does not count: an answer given before the membership ended may still be on its way.';
comment on column roomcast.revocations.due            is 'When to try: a lease and a backoff both move it ahead.';
comment on column roomcast.revocations.tries          is 'Attempts since the last revocation.';

-- Who is online in which room, by Pusher's presence webhooks. It is hearsay beside the
-- tables' truth: Pusher reports late, out of order and twice, so a row stays a while
-- after its user left, to outlive what is still on its way.
create table if not exists roomcast.presence (
  room    text collate "C" not null,
  user_id text not null,
  online  boolean not null,
  at      timestamptz not null,
  primary key (room, user_id)
);
comment on table  roomcast.presence    is 'Who is online in which room, as Pusher says. Membership is another matter: see your own tables.';
comment on column roomcast.presence.at is 'When Pusher said so, by its clock: what is older changes nothing.';

-- Rows of the outbox that no attached table wrote: revoke(), presence and send(). They
-- have entries of their own, never attached.
insert into roomcast.attached_tables (relation, name, kind, room_column, user_column, columns, ids, keys, detached_at) values
  ('roomcast.revocations', 'member', 'members', 'room_id', 'user_id', '{room_id,user_id}', '{room_id,user_id}', '{room_id,user_id}', now()),
  ('roomcast.presence', 'presence', 'presence', 'room_id', null, '{room_id,user_id}', '{room_id,user_id}', '{room_id,user_id}', now()),
  ('roomcast.outbox', 'send', 'send', null, null, '{}', '{}', '{}', now())
on conflict on constraint one_name_per_table do nothing;

-- How far each user has read each room, and what the retention leaves of old messages
-- for counting: see inbox.sql. Empty where nobody has an inbox.
create table if not exists roomcast.reads (
  user_id uuid not null,
  room    text not null,
  epoch   text not null,
  seq     bigint not null,
  at      timestamptz not null default clock_timestamp(),
  primary key (user_id, room)
) with (fillfactor = 70);
comment on column roomcast.reads.epoch is 'Of the room, when it was read: under another one nothing is read.';
create index if not exists reads_room on roomcast.reads (room);

create table if not exists roomcast.old_messages (
  room     text not null,
  seq      bigint not null,
  attached int not null,
  key_hash bigint not null,
  at       timestamptz not null,
  primary key (room, seq)
);
create index if not exists old_messages_key on roomcast.old_messages (key_hash);
comment on table roomcast.old_messages is 'The numbers of messages whose rows the retention took, up to a thousand of a room.';

-- What pages of the dual run saw, summed up: one row per room and hour, whatever the
-- traffic. Nothing is written here before the first receipt arrives, and everything is
-- removed two weeks later: after the move the tables are empty by themselves.
create table if not exists roomcast.parity (
  room             text collate "C" not null,
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
) with (fillfactor = 70);
comment on table  roomcast.parity                is 'What pages that listen to both Supabase Realtime and Pusher have seen. Counts of counts, no content, no user.';
comment on column roomcast.parity.hour           is 'The hour in which the receipt came, by the database''s clock.';
comment on column roomcast.parity.pages          is 'Users with a page that sent a receipt in this hour.';
comment on column roomcast.parity.committed      is 'New messages of this hour whose outbox rows the retention has taken; those still kept are counted there.';
comment on column roomcast.parity.fetched        is 'Of what was seen by way of Pusher: fetched over HTTP after a gap. Not in pusher_delays.';
comment on column roomcast.parity.pusher_repeats is 'Events a page got a second time, and dropped.';
comment on column roomcast.parity.flips          is 'Pairs of events that the two sides brought in different orders.';
comment on column roomcast.parity.skewed         is 'Receipts whose delays were left out, because the page''s clock was off.';
comment on column roomcast.parity.pusher_delays  is 'Histogram, commit to page; its edges are in functions/parity/histogram.go. Trailing zeros are left out.';

-- The last receipt of each page and room, so that a repeat counts nothing twice. user_id
-- is part of the key: nobody can spend another's numbers.
create table if not exists roomcast.receipts (
  user_id  uuid not null,
  page     uuid not null,
  room     text collate "C" not null,
  n        bigint not null,
  hour     timestamptz not null,
  first_at timestamptz not null default clock_timestamp(),
  at       timestamptz not null default clock_timestamp(),
  primary key (user_id, page, room)
) with (fillfactor = 70);

-- Each user's part in the receipts, so that one who invents them is seen, and counts for
-- no more than the others.
create table if not exists roomcast.parity_users (
  user_id       uuid not null,
  hour          timestamptz not null,
  receipts      bigint not null default 0,
  compared      bigint not null default 0,
  only_supabase bigint not null default 0,
  primary key (hour, user_id)
) with (fillfactor = 70);
comment on table  roomcast.parity_users          is 'What each user''s pages reported, by hour. Kept as long as roomcast.parity.';
comment on column roomcast.parity_users.compared is 'The sum of what was seen by both, only by Pusher and only by Supabase.';

-- How messages reached pages, by hour, from the receipts of a sample of them.
create table if not exists roomcast.delivery (
  hour      timestamptz primary key constraint delivery_hour_is_whole check (hour = date_trunc('hour', hour, 'UTC')),
  receipts  bigint not null default 0,
  pushed    bigint not null default 0,
  gap       bigint not null default 0,
  reconnect bigint not null default 0,
  polled    bigint not null default 0,
  supabase  bigint not null default 0,
  late_pushed    bigint not null default 0,
  late_gap       bigint not null default 0,
  late_reconnect bigint not null default 0,
  late_polled    bigint not null default 0,
  late_supabase  bigint not null default 0,
  void      bigint not null default 0,
  missing   bigint not null default 0,
  "window"  bigint not null default 0,
  skewed    bigint not null default 0,
  delays    bigint[] not null default '{}'
) with (fillfactor = 70);
comment on table  roomcast.delivery           is 'How messages reached pages: counts, no content, no user.';
comment on column roomcast.delivery.gap       is 'Fetched, because a number was missing.';
comment on column roomcast.delivery.reconnect is 'Fetched after the connection was cut.';
comment on column roomcast.delivery.polled    is 'Fetched, because Pusher was away or refused.';
comment on column roomcast.delivery.supabase  is 'By Supabase Realtime in its place.';
comment on column roomcast.delivery.late_pushed is 'Of those, more than four seconds after the commit; likewise the other late_ columns.';
comment on column roomcast.delivery.void      is 'Numbers under which the history has nothing.';
comment on column roomcast.delivery.missing   is 'Numbers that had not come two minutes after a later one.';
comment on column roomcast.delivery."window"  is 'Numbers that were kept no more when the page was back: it loaded its table.';
comment on column roomcast.delivery.delays    is 'Histogram, commit to screen; its edges are in functions/parity/histogram.go. Trailing zeros are left out.';

-- The last receipt of each page, so that a repeat counts nothing twice.
create table if not exists roomcast.delivery_pages (
  user_id  uuid not null,
  page     uuid not null,
  n        bigint not null,
  hour     timestamptz not null,
  messages bigint not null,
  first_at timestamptz not null default clock_timestamp(),
  at       timestamptz not null default clock_timestamp(),
  primary key (user_id, page)
) with (fillfactor = 70);
create index if not exists delivery_pages_at on roomcast.delivery_pages (at);

-- Statements that wrote with roomcast.capture = 'off', or so many rows that they became
-- one event: what they left out of the outbox was left out on purpose, and the audit must
-- not call it lost.
create table if not exists roomcast.capture_skips (
  id       bigint generated always as identity primary key,
  attached int not null,
  at       timestamptz not null default clock_timestamp()
);
comment on table roomcast.capture_skips is 'A row has the xmin of the rows it tells of: of the transaction, or of the savepoint within.';

-- What the hourly audit found and repaired, for two weeks.
create table if not exists roomcast.audits (
  id       bigint generated always as identity primary key,
  at       timestamptz not null default clock_timestamp(),
  relation text,
  problem  text not null,
  found    bigint,
  repaired bigint not null default 0,
  note     text
);

do $$
begin
  if to_regclass('roomcast.revocations_due') is null then
    create index revocations_due  on roomcast.revocations (due);
    create index presence_offline on roomcast.presence (at) where not online;
    create index parity_hour      on roomcast.parity (hour);
    create index receipts_at      on roomcast.receipts (at);
    create index audits_at        on roomcast.audits (at);
  end if;
end
$$;

insert into roomcast.migrations (version) values (1) on conflict do nothing;
commit;
