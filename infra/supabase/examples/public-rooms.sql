-- Some rooms are for everybody who is signed in; the others are for their members.
-- Expects: chat_rooms (id uuid).
alter table public.chat_rooms add column if not exists is_public boolean not null default false;

create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return roomcast.is_member(room, user_id)
      or exists (select from public.chat_rooms r where r.id = room::uuid and r.id::text = room and r.is_public);   -- one spelling
exception when data_exception then
  return false;   -- a room id that is no uuid is nobody's
end
$$;

-- A room that turns private ends the access of all who are no members. Who listens is
-- known of presence channels; elsewhere name those who matter in its place.
create or replace function public.end_public_access() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform roomcast.recheck(p.room, p.user_id::uuid) from roomcast.presence p
    where p.room = new.id::text and p.online;
  return null;
end
$$;
drop trigger if exists end_public_access on public.chat_rooms;
create trigger end_public_access after update of is_public on public.chat_rooms
  for each row when (old.is_public and not new.is_public)
  execute function public.end_public_access();
