insert into auth.users (id) values ('11111111-0000-4000-8000-000000000001'), ('22222222-0000-4000-8000-000000000002'), ('33333333-0000-4000-8000-000000000003');
insert into public.users (id, auth_id, name) values (1, '11111111-0000-4000-8000-000000000001', 'Ann'), (2, '22222222-0000-4000-8000-000000000002', 'Bob'), (3, '33333333-0000-4000-8000-000000000003', 'Eve');
insert into public.workspaces values (7, 'lamps'), (8, 'others');
insert into public.workspace_members (workspace_id, user_id) values (7, 1), (7, 2), (8, 3);
-- => room workspaces/7: user-joined {"member_uuid":"11111111-0000-4000-8000-000000000001"}
-- => room workspaces/7: user-joined {"member_uuid":"22222222-0000-4000-8000-000000000002"}
-- => room workspaces/8: user-joined
-- => user 11111111-0000-4000-8000-000000000001: user-joined {"room":"workspaces/7"}
-- => user 22222222-0000-4000-8000-000000000002: user-joined {"room":"workspaces/7"}
-- => user 33333333-0000-4000-8000-000000000003: user-joined {"room":"workspaces/8"}
insert into public.channels values (7, 7, 'general', false), (9, 7, 'board', true), (8, 8, 'elsewhere', false);
-- => room workspaces/7: new-channel {"name":"general"}
-- => room 9: new-channel {"name":"board"}
-- => room workspaces/8: new-channel
-- may 11111111-0000-4000-8000-000000000001 7: yes
-- may 33333333-0000-4000-8000-000000000003 7: no
-- may 33333333-0000-4000-8000-000000000003 8: yes
-- may 11111111-0000-4000-8000-000000000001 8: no
-- may 11111111-0000-4000-8000-000000000001 9: no
-- may 33333333-0000-4000-8000-000000000003 workspaces/7: no
insert into public.channel_members (channel_id, user_id) values (9, 1);
-- => room 9: user-joined {"user_id":1}
-- => user 11111111-0000-4000-8000-000000000001: user-joined {"channel_id":9}
-- may 11111111-0000-4000-8000-000000000001 9: yes
-- may 22222222-0000-4000-8000-000000000002 9: no
insert into public.messages (id, channel_id, author_id, body) values (1, 9, 1, 'hi');
-- => room 9: new-message {"id":1,"thread_id":null,"body":"hi"}
insert into public.messages (id, channel_id, author_id, thread_id, body) values (2, 9, 1, 1, 'in the thread');
-- => room 9: new-message {"thread_id":1}
insert into public.reactions values (1, 1, '+1');
-- => room 9: new-reaction {"emoji":"+1"}
update public.channel_members set last_read_message_id = 2;
-- => room 9: user-updated {"last_read_message_id":2}
insert into public.direct_messages (id, from_id, to_id, body) values (1, 1, 2, 'psst');
-- => user 11111111-0000-4000-8000-000000000001: new-direct-message {"body":"psst"}
-- => user 22222222-0000-4000-8000-000000000002: new-direct-message {"body":"psst"}
delete from public.workspace_members where user_id = 2;
-- => room workspaces/7: user-left
-- => user 22222222-0000-4000-8000-000000000002: user-left
-- may 22222222-0000-4000-8000-000000000002 7: no
