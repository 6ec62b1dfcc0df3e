-- Support tickets: who may read one is its customer, and everybody who works for the organization.
create type public.org_role as enum ('agent', 'admin');
create table public.organizations (id uuid primary key default gen_random_uuid(), name text);
create table public.organization_members (organization_id uuid not null references public.organizations on delete cascade, user_id uuid not null references auth.users, role public.org_role not null, primary key (organization_id, user_id));
create table public.tickets (id bigint generated always as identity primary key, organization_id uuid not null references public.organizations, customer_id uuid not null references auth.users, assignee_id uuid references auth.users, status text not null default 'open');
create table public.ticket_messages (id bigint generated always as identity primary key, ticket_id bigint not null references public.tickets on delete cascade, author_id uuid not null references auth.users, body text not null, internal boolean not null default false, created_at timestamptz not null default now());
create table public.ticket_events (id bigint generated always as identity primary key, ticket_id bigint not null references public.tickets on delete cascade, kind text not null, payload jsonb);
create publication supabase_realtime for table public.tickets, public.ticket_messages, public.ticket_events;
