select roomcast.attach_messages('public.messages', columns => '{id,room_id,profile_id,content,created_at}');
select roomcast.attach_members('public.room_members', user_column => 'profile_id', active => 'is_active');
-- The list: each room's row to all of its members' personal channels.
select roomcast.attach('public.rooms', name => 'room', columns => '{id,name,last_message,last_at}',
  users => 'select m.profile_id from public.room_members m where m.room_id = r.id and m.is_active');
-- Profiles: to every room that the profile's owner is in.
select roomcast.attach('public.profiles', name => 'profile', columns => '{id,username,avatar_url}',
  room => 'array(select m.room_id from public.room_members m where m.profile_id = r.id and m.is_active)');
