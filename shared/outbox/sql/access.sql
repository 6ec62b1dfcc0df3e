-- Who may read, and what others see of a member.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- The two functions a team replaces. They are made once, here, so that applying the
-- functions again never overwrites the team's own.
do $$
begin
  if to_regprocedure('roomcast.can_read(text,uuid,jsonb)') is null then
    create function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
    language plpgsql stable set search_path = pg_catalog, pg_temp as $f$
    begin
      return roomcast.is_member(can_read.room, can_read.user_id);
    end
    $f$;
    comment on function roomcast.can_read(text, uuid, jsonb) is 'May this user read this room? By default: members only. Replace it with create or replace function.';
  end if;
  if to_regprocedure('roomcast.readable_since(text,uuid)') is null then
    create function roomcast.readable_since(room text, user_id uuid) returns timestamptz
    language sql immutable set search_path = pg_catalog, pg_temp as $f$ select timestamptz '-infinity' $f$;
    comment on function roomcast.readable_since(text, uuid) is 'How far back a user may catch up. By default: no limit. Replace it with create or replace function.';
  end if;
end
$$;

-- may_read is how the relay asks can_read, whoever wrote that: as its owner, and
-- with null meaning no.
create or replace function roomcast.may_read(room text, user_id uuid, claims jsonb) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  return coalesce(roomcast.can_read(may_read.room, may_read.user_id, may_read.claims), false);
end
$$;

-- may_read_all is may_read for many questions at once, answered in their order. In a
-- storm of clients that come back this is what keeps the database free for the chat.
create or replace function roomcast.may_read_all(rooms text[], users uuid[], claims jsonb[]) returns setof boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  for i in 1 .. coalesce(cardinality(rooms), 0) loop
    return next coalesce(roomcast.can_read(rooms[i], users[i], claims[i]), false);
  end loop;
end
$$;

-- info_of asks the team's roomcast.member_info(room text, user_id uuid, claims jsonb)
-- returns jsonb, where there is one, what a presence channel shows of a user. Null
-- when there is no such function: the token's own profile is shown then.
create or replace function roomcast.info_of(room text, user_id uuid, claims jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
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

-- recheck asks can_read anew and revokes if the answer is no, or if there is none: a
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
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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
