-- A tenant in every table and key: each numbers its rooms from 1. Users are profiles with
-- a key of their own. Messages may be internal, members banned.
create table public.orgs (id uuid primary key default gen_random_uuid());
create table public.profiles (id uuid primary key default gen_random_uuid(), user_id uuid unique references auth.users, email text, full_name text);
create table public.rooms (org_id uuid not null references public.orgs, id int not null, title text, primary key (org_id, id));
create table public.room_members (org_id uuid not null references public.orgs, room_id int not null, profile_id uuid not null references public.profiles, is_banned boolean not null default false, primary key (org_id, room_id, profile_id), foreign key (org_id, room_id) references public.rooms on delete cascade);
create table public.messages (org_id uuid not null references public.orgs, room_id int not null, no bigint not null, author uuid references public.profiles, body text, internal boolean default false, primary key (org_id, room_id, no), foreign key (org_id, room_id) references public.rooms on delete cascade);
create table public.reactions (org_id uuid not null, room_id int not null, no bigint not null, profile_id uuid not null references public.profiles, emoji text, primary key (org_id, room_id, no, profile_id), foreign key (org_id, room_id, no) references public.messages on delete cascade);
create publication supabase_realtime for all tables;
