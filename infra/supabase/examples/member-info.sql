-- What members of a presence channel see of each other, out of a table that users
-- cannot write as they like, in place of their tokens' profile. At most 1 kB as JSON,
-- and nothing that is not for every member of the room.
-- Expects: profiles (id uuid, name text).
create or replace function roomcast.member_info(room text, user_id uuid, claims jsonb) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object('name', left(p.name, 100)) from public.profiles p where p.id = $2
$$;
revoke all on function roomcast.member_info(text, uuid, jsonb) from public;
