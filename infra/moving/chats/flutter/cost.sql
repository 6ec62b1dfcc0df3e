insert into public.rooms (id, name) select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'room ' || n from generate_series(0, 19) n;
insert into public.room_members select id, gen_random_uuid() from public.rooms, generate_series(1, 5);
-- cost: a message, and its room's row in five members' lists
insert into public.messages (room_id, profile_id, content)
  values (('00000000-0000-4000-8000-' || lpad(($1::int % 20)::text, 12, '0'))::uuid, gen_random_uuid(), 'a message of usual length, more or less')
