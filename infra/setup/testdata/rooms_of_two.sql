-- A room is two users, each in a column of its own; messages by sender, typing in a table.
create table public.profiles (id uuid primary key references auth.users, full_name text);
create table public.chats (id uuid primary key default gen_random_uuid(), user1_id uuid not null references public.profiles, user2_id uuid not null references public.profiles, created_at timestamptz default now());
create table public.chat_messages (id uuid primary key default gen_random_uuid(), chat_id uuid not null references public.chats on delete cascade, sender_id uuid not null references public.profiles, receiver_id uuid not null references public.profiles, text text, is_read boolean default false, created_at timestamptz default now());
create table public.typing_status (chat_id uuid not null references public.chats on delete cascade, user_id uuid not null references public.profiles, is_typing boolean, primary key (chat_id, user_id));
create publication supabase_realtime for all tables;
