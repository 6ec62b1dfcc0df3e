-- A usual Supabase chat, without its policies: whose cost is the chat's own.
create table public.messages (
    id uuid primary key default gen_random_uuid(),
    room_id uuid not null,
    user_id uuid not null,
    content text not null,
    views int not null default 0, -- not relayed
    created_at timestamptz not null default now()
);
create index messages_room on public.messages (room_id, created_at);

create table public.room_participants (
    id uuid primary key default gen_random_uuid(),
    room_id uuid not null,
    user_id uuid not null,
    joined_at timestamptz not null default now(),
    unique (room_id, user_id)
);

-- room is the n-th room's id.
create function public.room(n int) returns uuid
    language sql immutable
    return ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
