insert into auth.users (id) select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid from generate_series(0, 2000) n;
insert into public.profiles (id, nickname) select id, 'somebody' from auth.users;
insert into public.groups select 'group ' || n, 'Group' from generate_series(0, 19) n;
insert into public.messages (id, group_id, content) select n, 'group ' || n % 20, 'the first' from generate_series(1000000, 1000019) n;
-- cost: a message
insert into public.messages (group_id, content) values ('group ' || $1::int % 20, 'a message of usual length, more or less')
-- cost: a reader's row, its room by a look-up
insert into public.message_status (message_id, user_id) values (1000000 + $1::int % 20, ('00000000-0000-4000-8000-' || lpad($1::int::text, 12, '0'))::uuid)
