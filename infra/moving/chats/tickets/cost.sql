insert into auth.users (id) values ('00000000-0000-4000-8000-000000000000');
insert into public.organizations values ('00000000-0000-4000-8000-000000000000', 'Lamps');
insert into public.tickets (id, organization_id, customer_id) overriding system value select n, '00000000-0000-4000-8000-000000000000', '00000000-0000-4000-8000-000000000000' from generate_series(0, 19) n;
-- cost: a message, its room by an expression
insert into public.ticket_messages (ticket_id, author_id, body) values ($1::int % 20, '00000000-0000-4000-8000-000000000000', 'a message of usual length, more or less')
