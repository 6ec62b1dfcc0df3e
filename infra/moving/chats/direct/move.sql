-- To the two users' personal channels: one subscription a page, whichever of the two writes.
select roomcast.attach('public.messages', name => 'message', columns => '{id,sender_id,recipient_id,content,read_at,created_at}',
  users => 'array[r.sender_id, r.recipient_id]');
-- The same rows by pair, for an open conversation with typing and presence.
select roomcast.attach('public.messages', name => 'direct', columns => '{id,sender_id,recipient_id,content,read_at,created_at}',
  room => $$least(r.sender_id, r.recipient_id)::text || ',' || greatest(r.sender_id, r.recipient_id)::text$$);
create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select can_read.room ~ '^[0-9a-f-]{36},[0-9a-f-]{36}$'
     and split_part(can_read.room, ',', 1) <= split_part(can_read.room, ',', 2) collate "C"
     and can_read.user_id::text = any (string_to_array(can_read.room, ','))
$$;
