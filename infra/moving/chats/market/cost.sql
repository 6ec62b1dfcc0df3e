insert into auth.users (id) select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid from generate_series(0, 39) n;
insert into public.listings (seller_id, title) select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'listing ' || n from generate_series(20, 39) n;
insert into public.conversations (id, listing_id, buyer_id, seller_id)
  select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, n + 1, ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, ('00000000-0000-4000-8000-' || lpad((n + 20)::text, 12, '0'))::uuid from generate_series(0, 19) n;
insert into public.messages (id, conversation_id, sender_id, body) select id, id, buyer_id, 'the first' from public.conversations;
-- cost: a message, and its conversation's row in two lists
insert into public.messages (conversation_id, sender_id, body)
  values (('00000000-0000-4000-8000-' || lpad(($1::int % 20)::text, 12, '0'))::uuid, ('00000000-0000-4000-8000-' || lpad(($1::int % 20)::text, 12, '0'))::uuid, 'a message of usual length, more or less')
-- cost: an attachment, its room by a look-up
insert into public.message_attachments (message_id, storage_path) values (('00000000-0000-4000-8000-' || lpad(($1::int % 20)::text, 12, '0'))::uuid, 'a/b.jpg')
