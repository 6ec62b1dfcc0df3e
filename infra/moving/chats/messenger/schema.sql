-- A messenger: groups that one leaves softly, contacts with a status, requests for files.
create table public.groups (id uuid primary key default gen_random_uuid(), name text not null);
create table public.group_members (
  group_id uuid not null references public.groups on delete cascade,
  user_id uuid not null,
  role text not null default 'member',
  joined_at timestamptz not null default now(),
  left_at timestamptz,
  primary key (group_id, user_id));
create table public.group_messages (
  id uuid primary key default gen_random_uuid(),
  group_id uuid not null references public.groups on delete cascade,
  author uuid not null,
  text text,
  edited_at timestamptz,
  created_at timestamptz not null default now());
create table public.contacts (
  user_id uuid not null,
  contact_id uuid not null,
  status text not null default 'requested',
  note text,
  primary key (user_id, contact_id));
create table public.file_requests (
  id uuid primary key default gen_random_uuid(),
  from_user uuid not null,
  to_user uuid not null,
  path text not null,
  state text not null default 'open');
create type public.presence_kind as enum ('typing', 'online');
