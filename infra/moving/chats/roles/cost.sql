insert into public.channels (id, slug, created_by) select n, 'channel-' || n, gen_random_uuid() from generate_series(1, 20) n;
insert into public.channel_members select n, gen_random_uuid() from generate_series(1, 20) n, generate_series(1, 5);
-- cost: a message
insert into public.messages (channel_id, user_id, message) values ($1::int % 20 + 1, gen_random_uuid(), 'a message of usual length, more or less')
-- cost: an edit
update public.messages set message = message || 'x' where id = $1::int + 1
