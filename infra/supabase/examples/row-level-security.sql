-- The table's own policies decide: a user who may select something of a room may hear it.
--
-- The question is asked as the role authenticated, with the user's claims where
-- PostgREST puts them, so policies see what they see in a request. The function that
-- asks belongs to authenticated and runs with its rights (security definer). It lies
-- in a schema of its own: roomcast's is closed to authenticated, and PostgREST does
-- not serve this one.
--
-- Two tables are asked, under their policies. A room without messages has nothing to
-- select, so the user's own membership row counts as well.
create schema if not exists roomcast_policies;
revoke all on schema roomcast_policies from public;
grant usage, create on schema roomcast_policies to authenticated;   -- create: only to take the function over, below

create or replace function roomcast_policies.can_select(room text, user_id uuid, claims jsonb) returns boolean
language plpgsql volatile security definer
-- As PostgREST has it, for policies that call functions without naming their schema.
set search_path = public, extensions, pg_temp as $$
declare
  this_room uuid;
  was       constant text := coalesce(current_setting('request.jwt.claims', true), '');
  yes       boolean;
begin
  this_room := room;
  if this_room::text <> room then
    return false;   -- another spelling of the id: the relay sends to no such channel
  end if;
  -- For this question only: the next question of the same transaction is another user's.
  perform set_config('request.jwt.claims', claims::text, true);
  yes := exists (select from public.messages m where m.room_id = this_room)
      or exists (select from public.room_participants p where p.room_id = this_room and p.user_id = can_select.user_id);
  perform set_config('request.jwt.claims', was, true);
  return yes;
exception when invalid_text_representation then
  return false;   -- a room id that is no uuid is nobody's
end
$$;
-- Before the function changes hands: afterwards it is not ours to grant.
revoke all on function roomcast_policies.can_select(text, uuid, jsonb) from public, anon, authenticated;
grant execute on function roomcast_policies.can_select(text, uuid, jsonb) to current_user;
alter function roomcast_policies.can_select(text, uuid, jsonb) owner to authenticated;
revoke create on schema roomcast_policies from authenticated;
-- Nobody who is authenticated may call it: it believes the claims it is given.
revoke usage on schema roomcast_policies from authenticated;

create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
language sql volatile set search_path = pg_catalog, pg_temp as $$
  select roomcast_policies.can_select($1, $2, $3)
$$;
