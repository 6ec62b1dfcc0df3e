-- 003: ending a listener's access, and presence.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));

-- Who is to be cut off. One row per user, whatever the number of rooms, since one
-- call to Pusher ends all of a user's connections. A row is written after user-left
-- was accepted and goes when Pusher has confirmed a cut that was late enough.
create table if not exists roomcast.revocations (
  user_id text primary key,
  settles timestamptz not null,
  due     timestamptz not null,
  tries   int not null default 0
);
comment on table  roomcast.revocations         is 'Users whose connections Pusher is to end.';
comment on column roomcast.revocations.settles is 'A cut before this does not count: an answer given before the membership ended may still be on its way.';
comment on column roomcast.revocations.due     is 'When to try: a lease and a backoff both move it ahead.';
comment on column roomcast.revocations.tries   is 'Attempts since the last revocation.';
create index if not exists revocations_due on roomcast.revocations (due);

-- Who is online in which room, by Pusher's presence webhooks. It is hearsay beside
-- the tables' truth: Pusher reports late, out of order and twice, so a row stays a
-- while after its user left, to outlive what is still on its way.
create table if not exists roomcast.presence (
  room    text not null,
  user_id text not null,
  online  boolean not null,
  at      timestamptz not null,
  primary key (room, user_id)
);
comment on table  roomcast.presence    is 'Who is online in which room, as Pusher says. Membership is another matter: see your own tables.';
comment on column roomcast.presence.at is 'When Pusher said so, by its clock: what is older changes nothing.';
create index if not exists presence_offline on roomcast.presence (at) where not online;

-- Rows of the outbox that no attached table wrote: revoke() and presence. They are
-- sources of their own, never attached.
alter table roomcast.sources drop constraint if exists kind_has_a_rule;
alter table roomcast.sources add constraint kind_has_a_rule check (kind in ('messages', 'members', 'presence'));
insert into roomcast.sources (relation, kind, room_column, user_column, keys, detached_at) values
  ('roomcast.revocations', 'members',  'room_id', 'user_id', '{room_id,user_id}', now()),
  ('roomcast.presence',    'presence', 'room_id', null,      '{room_id,user_id}', now())
on conflict on constraint one_source_per_table do nothing;

insert into roomcast.migrations (version) values (3) on conflict do nothing;
commit;
