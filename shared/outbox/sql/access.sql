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

-- uses_claims: can a function of the team's look at its third argument, the token's claims?
-- Where none can they stay out of the database, and so out of its log: a server with
-- log_statement = 'all' writes every parameter of every call. This and judges_by_membership are
-- plpgsql, whose plans a session keeps: Postgres before 18 plans a function in sql again in each
-- transaction, which took three quarters of a question.
create or replace function roomcast.uses_claims(fn text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return coalesce((select l.lanname not in ('sql', 'plpgsql') or p.prosqlbody is not null
                       or p.proargnames[3] is distinct from 'claims' or p.prosrc ~* E'claims|\\$3'
                     from pg_proc p join pg_language l on l.oid = p.prolang where p.oid = to_regprocedure(fn)), false);
end
$$;

-- need_claims raises where a function can look at claims that were left out: the relay
-- then asks again with them.
create or replace function roomcast.need_claims(fn text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if roomcast.uses_claims(fn) then
    raise exception '% looks at the claims', fn using errcode = 'RC001';
  end if;
end
$$;

-- may_read is how the relay asks can_read, which the team may have written: as its owner, and
-- with null meaning no.
create or replace function roomcast.may_read(room text, user_id uuid, claims jsonb) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if may_read.claims is null then
    perform roomcast.need_claims('roomcast.can_read(text,uuid,jsonb)');
  end if;
  return coalesce(roomcast.can_read(may_read.room, may_read.user_id, may_read.claims), false);
end
$$;

-- judges_by_membership: is can_read still the one made above? Then many questions are one query.
create or replace function roomcast.judges_by_membership() returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return coalesce((select l.lanname = 'plpgsql' and not p.prosecdef
                      and regexp_replace(p.prosrc, E'\\s+', ' ', 'g') = ' begin return roomcast.is_member(can_read.room, can_read.user_id); end '
                     from pg_proc p join pg_language l on l.oid = p.prolang
                    where p.oid = to_regprocedure('roomcast.can_read(text,uuid,jsonb)')), false);
end
$$;

-- may_read_all is may_read for many questions at once, answered in their order. In a
-- storm of clients that come back this is what keeps the database free for the chat. Null
-- is a question that can_read failed on: one odd room must not fail the others. Membership
-- alone is looked up in one query, unless that fails on an odd room: then one by one.
create or replace function roomcast.may_read_all(rooms text[], users uuid[], claims jsonb[]) returns setof boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  answers boolean[];
begin
  if roomcast.judges_by_membership() then
    begin
      answers := roomcast.are_members(may_read_all.rooms, may_read_all.users);
      return query select unnest(answers);
      return;
    exception when others or assert_failure then null;
    end;
  elsif may_read_all.claims is null then
    perform roomcast.need_claims('roomcast.can_read(text,uuid,jsonb)');
  end if;
  for i in 1 .. coalesce(cardinality(rooms), 0) loop
    begin
      return next coalesce(roomcast.can_read(rooms[i], users[i], claims[i]), false);
    exception when others or assert_failure then
      return next null;
    end;
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
  if info_of.claims is null then
    perform roomcast.need_claims('roomcast.member_info(text,uuid,jsonb)');
  end if;
  execute 'select roomcast.member_info($1, $2, $3)' into info using room, user_id, claims;
  return coalesce(info, '{}');
end
$$;

commit;
