insert into public.conversations (id, title, participant_ids)
  select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'conversation ' || n, array[gen_random_uuid(), gen_random_uuid()] from generate_series(0, 19) n;
insert into public.messages (id, conversation_id, sender_id, body) select id, id, gen_random_uuid(), 'the first' from public.conversations;
-- cost: a message
insert into public.messages (conversation_id, sender_id, body)
  values (('00000000-0000-4000-8000-' || lpad(($1::int % 20)::text, 12, '0'))::uuid, gen_random_uuid(), 'a message of usual length, more or less')
-- cost: a reaction, its room by a look-up
insert into public.message_reactions values (('00000000-0000-4000-8000-' || lpad(($1::int % 20)::text, 12, '0'))::uuid, gen_random_uuid(), '👍')
