-- A ban ends access at once, and membership stays what it is.
create table if not exists public.bans (
  room_id uuid not null,
  user_id uuid not null,
  primary key (room_id, user_id)
);
alter table public.bans enable row level security;   -- no policy: the project's server only

create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return roomcast.is_member(room, user_id)
     and not exists (select from public.bans b where b.room_id = room::uuid and b.user_id = $2);
exception when data_exception then
  return false;
end
$$;

-- Every change of a row of this table has access checked again for its room and user.
select roomcast.recheck_on('public.bans', room_column => 'room_id', user_column => 'user_id');
