-- Who may read, who no longer may, who is there. Applied after functions.sql and as
-- often as you like.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));

-- may_read_all is may_read for many questions at once, answered in their order. In a
-- storm of clients that come back this is what keeps the database free for the chat.
create or replace function roomcast.may_read_all(rooms text[], users uuid[], claims jsonb[]) returns setof boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
  for i in 1 .. coalesce(cardinality(rooms), 0) loop
    return next coalesce(roomcast.can_read(rooms[i], users[i], claims[i]), false);
  end loop;
end
$$;

--------------------------------------------------------------------------------
-- What others see of a member.
--------------------------------------------------------------------------------

-- info_of asks the team's roomcast.member_info(room text, user_id uuid, claims jsonb)
-- returns jsonb, where there is one, what a presence channel shows of a user. Null
-- when there is no such function: the token's own profile is shown then.
create or replace function roomcast.info_of(room text, user_id uuid, claims jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  info jsonb;
begin
  if to_regprocedure('roomcast.member_info(text,uuid,jsonb)') is null then
    return null;
  end if;
  execute 'select roomcast.member_info($1, $2, $3)' into info using room, user_id, claims;
  return coalesce(info, '{}');
end
$$;

--------------------------------------------------------------------------------
-- Ending access. The deletion of a membership row is a revocation by itself: its
-- outbox row becomes user-left, and behind it the relay has the user cut off.
--------------------------------------------------------------------------------

-- revoke says by hand what the deletion of a membership row says: for teams whose
-- can_read looks at something else. It travels in the outbox like a row, and in the
-- shape of the attached members table, if there is one.
create or replace function roomcast.revoke(room text, user_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
  s    roomcast.sources;
  kind text;
begin
  select * into s from roomcast.sources x where x.kind = 'members'
   order by x.detached_at is not null, x.relation = 'roomcast.revocations'::regclass, x.id limit 1;
  kind := roomcast.column_type(s.relation, s.room_column);
  perform roomcast.enqueue(s.id, 'DELETE', room, jsonb_build_object(
    s.room_column, case when kind in ('bigint', 'integer', 'smallint') then to_jsonb(room::numeric) else to_jsonb(room) end,
    s.user_column, user_id), null, s.keys);
end
$$;
comment on function roomcast.revoke(text, uuid) is 'Publishes user-left and cuts the user''s signed-in connections, as the deletion of a membership row does.';

-- claims_of makes the claims that a fresh token of this user would have, as far as
-- the database knows them. What only the token knows (session, aal) is missing.
create or replace function roomcast.claims_of(user_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  known jsonb;
begin
  if to_regclass('auth.users') is not null then
    execute 'select to_jsonb(u) from auth.users u where u.id = $1' into known using user_id;
  end if;
  return jsonb_build_object('sub', user_id, 'role', 'authenticated', 'aud', 'authenticated',
    'email', known -> 'email', 'is_anonymous', coalesce(known -> 'is_anonymous', 'false'),
    'app_metadata', coalesce(known -> 'raw_app_meta_data', '{}'),
    'user_metadata', coalesce(known -> 'raw_user_meta_data', '{}'));
end
$$;

-- recheck asks can_read anew and revokes if the answer is no, or if there is none: a
-- cut too many costs the user a reconnect, one too few is a listener who should not
-- be. It reports whether it revoked, and never fails the transaction it runs in.
create or replace function roomcast.recheck(room text, user_id uuid) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  may boolean;
begin
  if room is null or user_id is null then
    return false;
  end if;
  begin
    may := roomcast.may_read(room, user_id, roomcast.claims_of(user_id));
  exception when others then
    raise log 'roomcast: can_read failed while access was checked again (SQLSTATE %)', sqlstate;
    may := false;
  end;
  if not may then
    perform roomcast.revoke(room, user_id);
  end if;
  return not may;
end
$$;

-- recheck_row is the trigger of recheck_on; its arguments are the two columns. It
-- looks at both sides of an UPDATE, since access may have ended in the room or for
-- the user that the row no longer names.
create or replace function roomcast.recheck_row() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  was    jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  is_now jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
begin
  if current_setting('roomcast.capture', true) = 'off' then
    return null;
  end if;
  if was is not null then
    perform roomcast.recheck(was ->> tg_argv[0], (was ->> tg_argv[1])::uuid);
  end if;
  if is_now is not null
     and (was is null or (was -> tg_argv[0], was -> tg_argv[1]) is distinct from (is_now -> tg_argv[0], is_now -> tg_argv[1])) then
    perform roomcast.recheck(is_now ->> tg_argv[0], (is_now ->> tg_argv[1])::uuid);
  end if;
  return null;
exception when others then
  raise log 'roomcast: access could not be checked again (SQLSTATE %)', sqlstate;
  return null;
end
$$;

-- recheck_on has access checked again whenever a row of this table changes that names
-- a room and a user: bans, roles, seats. It looks when the transaction commits, at
-- what will then be true. A change that reaches further than one room and one user (a
-- room that turns private, a role in the token) is for the team to name, with
-- select roomcast.recheck(room, user_id) for each.
create or replace function roomcast.recheck_on(
  table_name text, room_column text default 'room_id', user_column text default 'user_id')
returns void
language plpgsql set search_path = '' set lock_timeout = '3s' as $$
declare
  tbl constant regclass := roomcast.table_named(table_name);
  col text;
begin
  foreach col in array array[room_column, user_column] loop
    if roomcast.column_type(tbl, col) is null then
      raise exception 'columns: % has no column %', tbl, col using errcode = 'undefined_column';
    end if;
  end loop;
  execute format('drop trigger if exists roomcast_recheck on %s', tbl);
  execute format('create constraint trigger roomcast_recheck after insert or update or delete on %s '
                 'deferrable initially deferred for each row execute function roomcast.recheck_row(%L, %L)',
                 tbl, room_column, user_column);
end
$$;

--------------------------------------------------------------------------------
-- The relay's side of it: queue, claim, settle.
--------------------------------------------------------------------------------

-- queue_revocations notes that the users who left by these events are to be cut, not
-- before grace has passed, and returns them. Seqs that are no departures are passed
-- over. Saying it twice is harmless, and so is saying it under a lease that was lost.
create or replace function roomcast.queue_revocations(rooms text[], seqs bigint[], grace interval) returns setof text
language sql security definer set search_path = '' set enable_seqscan = off set jit = off as $$
  with gone as (
    select distinct o.record ->> s.user_column as user_id
      from (select * from unnest($1, $2) as u (room, seq)) t
      join roomcast.runs g on g.room = t.room and t.seq between g.first_seq and g.last_seq
      join roomcast.outbox o on o.id = g.ids[t.seq - g.first_seq + 1]
      join roomcast.sources s on s.id = o.source
     where s.kind = 'members' and o.op = 'DELETE' and o.record ->> s.user_column is not null
  )
  insert into roomcast.revocations as r (user_id, settles, due)
  select g.user_id, clock_timestamp() + $3, clock_timestamp() + $3 from gone g order by g.user_id
  on conflict (user_id) do update
     set settles = excluded.settles, due = least(r.due, excluded.due), tries = 0
  returning r.user_id
$$;

-- claim_revocations leases the users whose turn it is. The stamp is to be named when
-- the attempt is settled: a revocation that came meanwhile then gets its own.
create or replace function roomcast.claim_revocations(most int, lease interval)
returns table (user_id text, stamp timestamptz, tries int)
language sql security definer set search_path = '' set enable_seqscan = off set jit = off as $$
  with turn as (
    select r.user_id from roomcast.revocations r
     where r.due <= (select clock_timestamp())
     order by r.due limit $1
       for update skip locked
  )
  update roomcast.revocations r set due = clock_timestamp() + $2, tries = r.tries + 1
    from turn t where t.user_id = r.user_id
  returning r.user_id, clock_timestamp(), r.tries
$$;

-- settle_revocations ends those that were cut (or given up), and puts off the others
-- by so many seconds. A cut from before the last revocation settles leaves the row.
create or replace function roomcast.settle_revocations(users text[], stamps timestamptz[], waits double precision[]) returns void
language sql security definer set search_path = '' as $$
  with told as (
    select * from unnest($1, $2, $3) as t (user_id, stamp, wait)
  ), ended as (
    delete from roomcast.revocations r using told t
     where r.user_id = t.user_id and t.wait is null and r.settles <= t.stamp
    returning r.user_id
  )
  update roomcast.revocations r
     set due = case when r.settles > t.stamp then r.settles else clock_timestamp() + make_interval(secs => t.wait) end
    from told t
   where r.user_id = t.user_id and (t.wait is not null or r.settles > t.stamp)
     and r.user_id not in (select e.user_id from ended e)
$$;

--------------------------------------------------------------------------------
-- Presence.
--------------------------------------------------------------------------------

-- note_presence takes what one webhook says, the last word on each user of each room
-- first made unique by the caller, and returns what it changed. A null user means all
-- who are online in the room: the channel is empty. What is older than what is known
-- changes nothing. With announce, what changed becomes user-online and user-offline.
create or replace function roomcast.note_presence(
  rooms text[], users text[], onlines boolean[], at timestamptz, announce boolean)
returns table (room text, user_id text, online boolean)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
declare
  source constant int := (select s.id from roomcast.sources s where s.relation = 'roomcast.presence'::regclass);
begin
  for room, user_id, online in
    with told as (
      select t.room, t.user_id, t.online from unnest($1, $2, $3) as t (room, user_id, online)
    ), named as (
      select t.room, t.user_id, t.online from told t where t.user_id is not null
      union
      select p.room, p.user_id, false from roomcast.presence p join told t on t.room = p.room and t.user_id is null
       where p.online
         and not exists (select from told n where n.room = p.room and n.user_id = p.user_id)
    ), known as materialized (   -- locked in one order
      select p.room, p.user_id, p.online from roomcast.presence p join named n using (room, user_id)
       order by p.room, p.user_id for update of p
    ), noted as (                -- reads all of known first: what it has changed it cannot lock
      insert into roomcast.presence as p (room, user_id, online, at)
      select n.room, n.user_id, n.online, $4 from named n left join known k using (room, user_id) order by n.room, n.user_id
      on conflict (room, user_id) do update set online = excluded.online, at = excluded.at
       where p.at <= excluded.at
      returning p.room, p.user_id, p.online
    )
    select n.room, n.user_id, n.online
      from noted n left join known k using (room, user_id)
     where n.online is distinct from coalesce(k.online, false)
     order by n.room, n.user_id
  loop
    if announce then
      perform roomcast.enqueue(source, case when online then 'INSERT' else 'DELETE' end, room,
        jsonb_build_object('room_id', room, 'user_id', user_id), null, '{room_id,user_id}');
    end if;
    return next;
  end loop;
end
$$;

-- clean_presence forgets who left long ago: longer than any webhook can be late.
create or replace function roomcast.clean_presence() returns bigint
language plpgsql security definer set search_path = '' as $$
declare
  n bigint;
begin
  delete from roomcast.presence p
   where p.ctid = any (array(
     select o.ctid from roomcast.presence o where not o.online and o.at < (select clock_timestamp() - interval '1 hour')
      limit 1000 for update skip locked));
  get diagnostics n = row_count;
  return n;
end
$$;

--------------------------------------------------------------------------------
-- Rights.
--------------------------------------------------------------------------------

select roomcast.close_to_all();
grant execute on function
  roomcast.may_read_all(text[], uuid[], jsonb[]),
  roomcast.info_of(text, uuid, jsonb),
  roomcast.queue_revocations(text[], bigint[], interval),
  roomcast.claim_revocations(int, interval),
  roomcast.settle_revocations(text[], timestamptz[], double precision[]),
  roomcast.note_presence(text[], text[], boolean[], timestamptz, boolean),
  roomcast.clean_presence()
to roomcast_relay;
commit;
