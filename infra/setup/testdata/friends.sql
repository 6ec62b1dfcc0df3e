-- Direct messages between friends; typing and last seen in tables.
create table public.users (id uuid primary key references auth.users, username text unique, avatar_url text, last_seen timestamptz);
create table public.direct_messages (id uuid primary key default gen_random_uuid(), from_id uuid not null references public.users, to_id uuid not null references public.users, content text, seen boolean not null default false, created_at timestamptz not null default now());
create table public.friendships (user_a uuid not null references public.users, user_b uuid not null references public.users, status text not null default 'pending', primary key (user_a, user_b));
create table public.dm_reactions (id bigint generated always as identity primary key, message_id uuid not null references public.direct_messages on delete cascade, user_id uuid not null references public.users, emoji text not null);
create table public.notifications (id bigint generated always as identity primary key, user_id uuid not null references public.users, kind text, body text, read_at timestamptz);
create publication supabase_realtime for table public.users, public.direct_messages, public.friendships, public.dm_reactions, public.notifications;
