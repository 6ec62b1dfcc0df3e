-- An internal note is of another room, which the customer may not read.
select roomcast.attach('public.ticket_messages', name => 'message', columns => '{id,ticket_id,author_id,body,internal,created_at}',
  room => $$r.ticket_id || case when r.internal then '/internal' else '' end$$);
select roomcast.attach('public.ticket_events', name => 'event', columns => '{id,ticket_id,kind}', room => 'r.ticket_id');
select roomcast.attach('public.tickets', name => 'ticket', columns => '{id,organization_id,customer_id,assignee_id,status}',
  users => 'array_remove(array[r.customer_id, r.assignee_id], null)');
-- The organization's list of all its tickets.
select roomcast.attach('public.tickets', name => 'queued', columns => '{id,customer_id,assignee_id,status}', room => $$'organization/' || r.organization_id$$);
-- Who leaves the organization is disconnected from its rooms, and so from its tickets.
alter table public.organization_members add column room text generated always as ('organization/' || organization_id::text) stored;
create index on public.organization_members (room, user_id);
select roomcast.attach_members('public.organization_members', room_column => 'room', user_column => 'user_id');
create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select roomcast.is_member(can_read.room, can_read.user_id)
      or exists (select from public.tickets t
                  where t.id::text = split_part(can_read.room, '/', 1) and can_read.room in (t.id::text, t.id || '/internal')
                    and (t.customer_id = can_read.user_id and can_read.room = t.id::text
                         or exists (select from public.organization_members o where o.organization_id = t.organization_id and o.user_id = can_read.user_id)))
$$;
