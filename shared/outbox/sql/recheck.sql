-- Asking again who may read, where something other than a membership row has changed.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- revoke says by hand what the deletion of a membership row says: for teams whose can_read
-- looks at something else. It travels in the outbox like a row, and in the shape of the
-- attached members table, if there is one.
create or replace function roomcast.revoke(room text, user_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a      roomcast.attached_tables;
  record text;
begin
  select * into a from roomcast.attached_tables x where x.kind = 'members'
   order by x.detached_at is not null, x.relation = 'roomcast.revocations'::regclass, x.id limit 1;
  record := jsonb_build_object(
    a.room_column, case when roomcast.value_type(a.relation, a.room_column) in ('bigint', 'integer', 'smallint') and room ~ E'^\\d+$'
                        then room::jsonb else to_jsonb(room) end,
    a.user_column, user_id)::text;
  insert into roomcast.departures (user_id) values (revoke.user_id::text);
  perform roomcast.enqueue_event('members', 'DELETE', roomcast.room_key(room), record);
  perform roomcast.enqueue_event('members', 'DELETE', roomcast.user_key(user_id), record);
end
$$;
comment on function roomcast.revoke(text, uuid) is 'Publishes user-left and disconnects the user''s signed-in connections, as the deletion of a membership row does.';

-- claims_of makes the claims that a fresh token of this user would have, as far as
-- the database knows them. What only the token knows (session, aal) is missing.
create or replace function roomcast.claims_of(user_id uuid) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
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

-- recheck asks can_read again and revokes if the answer is no, or if there is none: a
-- cut too many costs the user a reconnect, one too few is a listener who should not
-- be. It reports whether it revoked, and never fails the transaction it runs in.
create or replace function roomcast.recheck(room text, user_id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  may boolean;
begin
  if room is null or user_id is null then
    return false;
  end if;
  begin
    may := roomcast.may_read(room, user_id, roomcast.claims_of(user_id));
  exception when others or assert_failure then
    raise log 'roomcast: can_read failed while access was checked again (SQLSTATE %)', sqlstate;
    may := false;
  end;
  if not may then
    perform roomcast.revoke(room, user_id);
  end if;
  return not may;
end
$$;

-- recheck_text is recheck for what a column may hold: a text that is no uuid is nobody, and
-- takes nobody else's check with it.
create or replace function roomcast.recheck_text(room text, member text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform roomcast.recheck(room, member::uuid);
exception when others or assert_failure then
  raise log 'roomcast: access could not be checked again (SQLSTATE %)', sqlstate;
end
$$;

-- recheck_row is the trigger of recheck_on; its arguments are the two columns, each of
-- which may be an array. It looks at both sides of an UPDATE, since access may have ended
-- in the room or for the user that the row no longer names. Nothing but the two columns
-- is read.
create or replace function roomcast.recheck_row() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  places constant text := format('select distinct p.room, m.member from (select ($1).*) r
      cross join lateral unnest(%s) as p (room) cross join lateral unnest(%s) as m (member)',
    format(case when roomcast.is_array(tg_relid, tg_argv[0]) then 'r.%I::text[]' else 'array[r.%I::text]' end, tg_argv[0]),
    format(case when roomcast.is_array(tg_relid, tg_argv[1]) then 'r.%I::text[]' else 'array[r.%I::text]' end, tg_argv[1]));
  place text;
  who   text;
begin
  if current_setting('roomcast.capture', true) is not distinct from 'off' and roomcast.may_skip(0, tg_op) then
    return null;
  end if;
  if tg_op <> 'INSERT' then
    for place, who in execute places using old loop
      perform roomcast.recheck_text(place, who);
    end loop;
  end if;
  if tg_op <> 'DELETE' then
    for place, who in execute places using new loop
      perform roomcast.recheck_text(place, who);
    end loop;
  end if;
  return null;
exception when others or assert_failure then
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
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
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

commit;
