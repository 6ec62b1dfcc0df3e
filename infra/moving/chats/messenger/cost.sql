insert into public.groups select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'group ' || n from generate_series(0, 19) n;
insert into public.group_members (group_id, user_id) select id, gen_random_uuid() from public.groups, generate_series(1, 5);
-- cost: a message
insert into public.group_messages (group_id, author, text)
  values (('00000000-0000-4000-8000-' || lpad(($1::int % 20)::text, 12, '0'))::uuid, gen_random_uuid(), 'a message of usual length, more or less')
-- cost: a contact, to two users
insert into public.contacts (user_id, contact_id) select gen_random_uuid(), gen_random_uuid() where $1::int >= 0
-- cost: a new member
insert into public.group_members (group_id, user_id) values (('00000000-0000-4000-8000-' || lpad(($1::int % 20)::text, 12, '0'))::uuid, gen_random_uuid())
