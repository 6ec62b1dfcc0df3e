insert into public.users (id, name) select n, 'user ' || n from generate_series(1, 20) n;
insert into public.workspaces values (1, 'lamps');
insert into public.channels select n, 1, 'channel ' || n from generate_series(1, 20) n;
insert into public.channel_members (channel_id, user_id) select c, u from generate_series(1, 20) c, generate_series(1, 5) u;
-- cost: a message
insert into public.messages (channel_id, author_id, body) values ($1::int % 20 + 1, 1, 'a message of usual length, more or less')
-- cost: a direct message, its users by a look-up
insert into public.direct_messages (from_id, to_id, body) values (1, $1::int % 19 + 2, 'a message of usual length, more or less')
