insert into public.profiles values ('11111111-0000-4000-8000-000000000001', 'ada', null), ('22222222-0000-4000-8000-000000000002', 'bob', null);
insert into public.rooms (id, name) values ('aaaaaaaa-0000-4000-8000-000000000001', 'Tea');
insert into public.room_members values ('aaaaaaaa-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000001'), ('aaaaaaaa-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002');
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-joined
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-joined
-- => user 11111111-0000-4000-8000-000000000001: user-joined
-- => user 22222222-0000-4000-8000-000000000002: user-joined
insert into public.messages (room_id, profile_id, content) values ('aaaaaaaa-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000001', 'kettle is on');
-- => room aaaaaaaa-0000-4000-8000-000000000001: new-message {"content":"kettle is on"}
-- => user 11111111-0000-4000-8000-000000000001: room-updated {"last_message":"kettle is on"}
-- => user 22222222-0000-4000-8000-000000000002: room-updated {"last_message":"kettle is on"}
update public.profiles set avatar_url = 'a.png' where username = 'ada';
-- => room aaaaaaaa-0000-4000-8000-000000000001: profile-updated {"avatar_url":"a.png"}
update public.room_members set is_active = false where profile_id = '22222222-0000-4000-8000-000000000002';
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-left
-- => user 22222222-0000-4000-8000-000000000002: user-left
-- may 22222222-0000-4000-8000-000000000002 aaaaaaaa-0000-4000-8000-000000000001: no
update public.rooms set name = 'Tea room';
-- => user 11111111-0000-4000-8000-000000000001: room-updated {"name":"Tea room"}
