-- A conversation names its participants in an array. Reactions are counted in a jsonb
-- column of the message, and listed in a table of their own.
create table public.conversations (
  id uuid primary key default gen_random_uuid(),
  title text,
  participant_ids uuid[] not null,
  updated_at timestamptz not null default now());
create table public.messages (
  id uuid primary key default gen_random_uuid(),
  conversation_id uuid not null references public.conversations on delete cascade,
  sender_id uuid not null,
  body text,
  reactions jsonb not null default '{}',
  created_at timestamptz not null default now());
create table public.message_reactions (
  message_id uuid not null references public.messages on delete cascade,
  user_id uuid not null,
  emoji text not null,
  primary key (message_id, user_id, emoji));
alter table public.conversations enable row level security;
create policy "participants" on public.conversations for select to authenticated using (auth.uid() = any (participant_ids));
