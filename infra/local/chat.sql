-- A chat as Supabase projects usually have it: its tables and row level
-- security. Twice is harmless.

create table if not exists public.profiles (
    id uuid primary key references auth.users (id) on delete cascade,
    name text not null
);

create table if not exists public.chat_rooms (
    id uuid primary key default gen_random_uuid(),
    name text not null,
    topic text not null default '',
    created_at timestamptz not null default now()
);

create table if not exists public.room_participants (
    id uuid primary key default gen_random_uuid(),
    room_id uuid not null references public.chat_rooms (id) on delete cascade,
    user_id uuid not null default auth.uid(),
    joined_at timestamptz not null default now(),
    unique (room_id, user_id)
);

create table if not exists public.messages (
    id uuid primary key default gen_random_uuid(),
    room_id uuid not null references public.chat_rooms (id) on delete cascade,
    user_id uuid not null default auth.uid(),
    content text not null,
    created_at timestamptz not null default now()
);
create index if not exists messages_room on public.messages (room_id, created_at);

create table if not exists public.reactions (
    id uuid primary key default gen_random_uuid(),
    message_id uuid not null references public.messages (id) on delete cascade,
    user_id uuid not null default auth.uid(),
    emoji text not null,
    unique (message_id, user_id, emoji)
);

-- By this a later run knows them for its own.
comment on table public.profiles is 'Roomcast''s demo.';
comment on table public.chat_rooms is 'Roomcast''s demo.';
comment on table public.room_participants is 'Roomcast''s demo.';
comment on table public.messages is 'Roomcast''s demo.';
comment on table public.reactions is 'Roomcast''s demo.';

-- A policy on room_participants that reads room_participants would recurse.
create or replace function public.is_participant(room uuid) returns boolean
    language sql stable security definer
    set search_path = pg_catalog, pg_temp
    as $$
    select exists (
        select from public.room_participants
        where room_id = room and user_id = auth.uid())
    $$;

alter table public.profiles enable row level security;
alter table public.chat_rooms enable row level security;
alter table public.room_participants enable row level security;
alter table public.messages enable row level security;
alter table public.reactions enable row level security;

grant select on public.profiles, public.chat_rooms to authenticated;
grant select, insert, delete on public.room_participants to authenticated;
grant select, insert, update, delete on public.messages to authenticated;
grant select, insert, delete on public.reactions to authenticated;
grant all on public.profiles, public.chat_rooms, public.room_participants, public.messages, public.reactions to service_role;

drop policy if exists "profiles are public" on public.profiles;
create policy "profiles are public" on public.profiles
    for select to authenticated using (true);

drop policy if exists "rooms are public" on public.chat_rooms;
create policy "rooms are public" on public.chat_rooms
    for select to authenticated using (true);

drop policy if exists "participants see one another" on public.room_participants;
create policy "participants see one another" on public.room_participants
    for select to authenticated using (user_id = auth.uid() or public.is_participant(room_id));
drop policy if exists "anybody joins" on public.room_participants;
create policy "anybody joins" on public.room_participants
    for insert to authenticated with check (user_id = auth.uid() or public.is_participant(room_id));
drop policy if exists "participants leave" on public.room_participants;
create policy "participants leave" on public.room_participants
    for delete to authenticated using (user_id = auth.uid());

drop policy if exists "participants read" on public.messages;
create policy "participants read" on public.messages
    for select to authenticated using (public.is_participant(room_id));
drop policy if exists "participants write" on public.messages;
create policy "participants write" on public.messages
    for insert to authenticated with check (user_id = auth.uid() and public.is_participant(room_id));
drop policy if exists "authors edit" on public.messages;
create policy "authors edit" on public.messages
    for update to authenticated using (user_id = auth.uid() and public.is_participant(room_id));
drop policy if exists "authors delete" on public.messages;
create policy "authors delete" on public.messages
    for delete to authenticated using (user_id = auth.uid() and public.is_participant(room_id));

drop policy if exists "participants see reactions" on public.reactions;
create policy "participants see reactions" on public.reactions
    for select to authenticated using (exists (select from public.messages m where m.id = message_id));
drop policy if exists "participants react" on public.reactions;
create policy "participants react" on public.reactions
    for insert to authenticated with check (user_id = auth.uid() and exists (select from public.messages m where m.id = message_id));
drop policy if exists "authors take back" on public.reactions;
create policy "authors take back" on public.reactions
    for delete to authenticated using (user_id = auth.uid());

-- Two members and a stranger; the ids are those of environment.go.
insert into auth.users (id, email) values
    ('a11ce000-0000-4000-8000-000000000001', 'mira@example.com'),
    ('b0b00000-0000-4000-8000-000000000002', 'jonas@example.com'),
    ('c0ffee00-0000-4000-8000-000000000003', 'kai@example.com')
on conflict do nothing;

insert into public.profiles (id, name) values
    ('a11ce000-0000-4000-8000-000000000001', 'Mira'),
    ('b0b00000-0000-4000-8000-000000000002', 'Jonas'),
    ('c0ffee00-0000-4000-8000-000000000003', 'Kai')
on conflict do nothing;

insert into public.chat_rooms (id, name, topic) values
    ('5ea51de0-0000-4000-8000-000000000010', 'Seaside', 'Where the boats come in'),
    ('11647400-0000-4000-8000-000000000011', 'Lighthouse', 'Night watch and weather')
on conflict do nothing;

insert into public.room_participants (room_id, user_id)
select r.id, u.id
from (values
    ('5ea51de0-0000-4000-8000-000000000010'::uuid),
    ('11647400-0000-4000-8000-000000000011'::uuid)) as r (id),
    (values
    ('a11ce000-0000-4000-8000-000000000001'::uuid),
    ('b0b00000-0000-4000-8000-000000000002'::uuid)) as u (id)
on conflict do nothing;

insert into public.messages (id, room_id, user_id, content, created_at) values
    ('00000000-0000-4000-8000-000000000101', '5ea51de0-0000-4000-8000-000000000010',
     'a11ce000-0000-4000-8000-000000000001', 'Morning! The ferry is in.', now() - interval '9 minutes'),
    ('00000000-0000-4000-8000-000000000102', '5ea51de0-0000-4000-8000-000000000010',
     'b0b00000-0000-4000-8000-000000000002', 'On my way. Coffee at the usual place?', now() - interval '8 minutes'),
    ('00000000-0000-4000-8000-000000000103', '11647400-0000-4000-8000-000000000011',
     'b0b00000-0000-4000-8000-000000000002', 'Wind south-west, four. Light on at 16:40.', now() - interval '30 minutes')
on conflict do nothing;
