insert into public.channels (id, slug, created_by) values (7, 'general', '11111111-0000-4000-8000-000000000001');
-- => room lobby: new-channel
insert into public.channel_members values (7, '11111111-0000-4000-8000-000000000001');
-- => room 7: user-joined
-- => user 11111111-0000-4000-8000-000000000001: user-joined
-- may 11111111-0000-4000-8000-000000000001 7: yes
-- may 22222222-0000-4000-8000-000000000002 7: no
-- may 22222222-0000-4000-8000-000000000002 07: no
-- may 22222222-0000-4000-8000-000000000002 lobby: yes
-- may 22222222-0000-4000-8000-000000000002 7 {"app_metadata":{"role":"moderator"}}: yes
insert into public.messages (id, channel_id, user_id, message) values (9007199254740993, 7, '11111111-0000-4000-8000-000000000001', 'hello');
-- => room 7: new-message {"id":9007199254740993,"channel_id":7,"message":"hello"}
update public.messages set message = 'hello, all' where id = 9007199254740993;
-- => room 7: message-updated {"message":"hello, all"}
delete from public.messages where id = 9007199254740993;
-- => room 7: message-deleted {"id":9007199254740993}
delete from public.channel_members where channel_id = 7;
-- => room 7: user-left
-- => user 11111111-0000-4000-8000-000000000001: user-left
-- may 11111111-0000-4000-8000-000000000001 7: no
delete from public.channels where id = 7;
-- => room lobby: channel-deleted {"id":7}
