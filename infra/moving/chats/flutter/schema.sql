-- A Flutter chat: the list of rooms with each one's last message, profiles, typing flags.
create table public.rooms (id uuid primary key default gen_random_uuid(), name text, last_message text, last_at timestamptz);
create table public.room_members (room_id uuid not null references public.rooms on delete cascade, profile_id uuid not null, is_active boolean not null default true, primary key (room_id, profile_id));
create table public.profiles (id uuid primary key, username text not null, avatar_url text);
create table public.messages (
  id uuid primary key default gen_random_uuid(),
  room_id uuid not null references public.rooms on delete cascade,
  profile_id uuid not null,
  content text not null,
  created_at timestamptz not null default now());
create function public.keep_last() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  update public.rooms set last_message = new.content, last_at = new.created_at where id = new.room_id;
  return null;
end
$$;
create trigger keep_last after insert on public.messages for each row execute function public.keep_last();
