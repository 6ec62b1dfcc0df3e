select 1;
-- cost: a message, to two users and their pair
insert into public.messages (sender_id, recipient_id, content)
  values (('00000000-0000-4000-8000-' || lpad(($1::int % 20)::text, 12, '0'))::uuid, ('00000000-0000-4000-8000-' || lpad(($1::int % 7 + 20)::text, 12, '0'))::uuid, 'a message of usual length, more or less')
