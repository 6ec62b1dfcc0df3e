-- Direct messages: no room, only who wrote to whom, and when it was read.
create table public.messages (
  id bigint generated always as identity primary key,
  sender_id uuid not null,
  recipient_id uuid not null,
  content text,
  read_at timestamptz,
  created_at timestamptz not null default now());
alter table public.messages enable row level security;
create policy "one's own" on public.messages for select to authenticated using (auth.uid() in (sender_id, recipient_id));
