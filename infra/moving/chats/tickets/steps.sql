insert into auth.users (id) values ('11111111-0000-4000-8000-000000000001'), ('22222222-0000-4000-8000-000000000002'), ('33333333-0000-4000-8000-000000000003');
insert into public.organizations values ('dddddddd-0000-4000-8000-000000000001', 'Lamps');
insert into public.organization_members values ('dddddddd-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002', 'agent');
-- => room organization/dddddddd-0000-4000-8000-000000000001: user-joined
-- => user 22222222-0000-4000-8000-000000000002: user-joined
insert into public.tickets (id, organization_id, customer_id) overriding system value values (7, 'dddddddd-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000001');
-- => user 11111111-0000-4000-8000-000000000001: new-ticket {"status":"open"}
-- => room organization/dddddddd-0000-4000-8000-000000000001: new-queued {"id":7}
-- may 11111111-0000-4000-8000-000000000001 7: yes
-- may 22222222-0000-4000-8000-000000000002 7: yes
-- may 33333333-0000-4000-8000-000000000003 7: no
-- may 11111111-0000-4000-8000-000000000001 7/internal: no
-- may 22222222-0000-4000-8000-000000000002 7/internal: yes
-- may 22222222-0000-4000-8000-000000000002 7/other: no
-- may 22222222-0000-4000-8000-000000000002 07: no
-- may 11111111-0000-4000-8000-000000000001 organization/dddddddd-0000-4000-8000-000000000001: no
-- may 22222222-0000-4000-8000-000000000002 organization/dddddddd-0000-4000-8000-000000000001: yes
insert into public.ticket_messages (ticket_id, author_id, body) values (7, '11111111-0000-4000-8000-000000000001', 'It does not light');
-- => room 7: new-message {"body":"It does not light"}
insert into public.ticket_messages (ticket_id, author_id, body, internal) values (7, '22222222-0000-4000-8000-000000000002', 'the usual', true);
-- => room 7/internal: new-message {"body":"the usual"}
update public.tickets set assignee_id = '22222222-0000-4000-8000-000000000002';
-- => user 11111111-0000-4000-8000-000000000001: ticket-updated
-- => user 22222222-0000-4000-8000-000000000002: new-ticket
-- => room organization/dddddddd-0000-4000-8000-000000000001: queued-updated {"assignee_id":"22222222-0000-4000-8000-000000000002"}
insert into public.ticket_events (ticket_id, kind) values (7, 'assigned');
-- => room 7: new-event {"kind":"assigned"}
update public.ticket_messages set internal = false where internal;
-- => room 7/internal: message-deleted
-- => room 7: new-message {"body":"the usual"}
delete from public.organization_members;
-- => room organization/dddddddd-0000-4000-8000-000000000001: user-left
-- => user 22222222-0000-4000-8000-000000000002: user-left
-- may 22222222-0000-4000-8000-000000000002 7/internal: no
