select roomcast.attach_messages('public.messages', room_column => 'channel_id', columns => '{id,channel_id,user_id,message,inserted_at}');
select roomcast.attach_members('public.channel_members', room_column => 'channel_id', user_column => 'user_id');
-- The list of channels is everybody's: one room of a constant name.
select roomcast.attach('public.channels', name => 'channel', columns => '{id,slug,created_by}', room => $$'lobby'$$);
create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select can_read.room = 'lobby'
      or roomcast.is_member(can_read.room, can_read.user_id)
      or can_read.claims -> 'app_metadata' ->> 'role' = 'moderator'
$$;
