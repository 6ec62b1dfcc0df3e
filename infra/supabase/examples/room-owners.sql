-- A room's owner may read it without being a member.
-- Expects: chat_rooms (id uuid).
alter table public.chat_rooms add column if not exists owner_id uuid;

create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return roomcast.is_member(room, user_id)
      or exists (select from public.chat_rooms r where r.id = room::uuid and r.id::text = room and r.owner_id = $2);   -- one spelling
exception when data_exception then
  return false;
end
$$;

-- A room that changes hands: the former owner is asked about again, at commit.
create or replace function public.recheck_former_owner() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform roomcast.recheck(old.id::text, old.owner_id);
  return null;
end
$$;
drop trigger if exists recheck_former_owner on public.chat_rooms;
create constraint trigger recheck_former_owner after update on public.chat_rooms
  deferrable initially deferred for each row when (old.owner_id is distinct from new.owner_id)
  execute function public.recheck_former_owner();
