insert into auth.users (id) values ('11111111-0000-4000-8000-000000000001'), ('22222222-0000-4000-8000-000000000002');
insert into public.profiles (id, nickname) values ('11111111-0000-4000-8000-000000000001', 'ada'), ('22222222-0000-4000-8000-000000000002', 'bob');
insert into public.groups values ('book club', 'Books');
insert into public.group_members (group_id, user_id, status, role) values ('book club', '11111111-0000-4000-8000-000000000001', 'active', 'owner');
-- => room book club: user-joined {"role":"owner"}
-- => user 11111111-0000-4000-8000-000000000001: user-joined
insert into public.group_invites (id, group_id, inviter_id, invitee_id) values ('eeeeeeee-0000-4000-8000-000000000001', 'book club', '11111111-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002');
-- => user 11111111-0000-4000-8000-000000000001: new-invite {"status":"pending"}
-- => user 22222222-0000-4000-8000-000000000002: new-invite {"status":"pending"}
insert into public.group_members (group_id, user_id) values ('book club', '22222222-0000-4000-8000-000000000002');
update public.group_invites set status = 'accepted';
-- => user 11111111-0000-4000-8000-000000000001: invite-updated {"status":"accepted","roomcast":{"old":{"status":"pending"}}}
-- => user 22222222-0000-4000-8000-000000000002: invite-updated {"status":"accepted"}
update public.group_members set status = 'active' where user_id = '22222222-0000-4000-8000-000000000002';
-- => room book club: user-joined {"user_id":"22222222-0000-4000-8000-000000000002"}
-- => user 22222222-0000-4000-8000-000000000002: user-joined
insert into public.messages (id, group_id, author_id, content) values (1, 'book club', '11111111-0000-4000-8000-000000000001', 'chapter two?');
-- => room book club: new-message {"id":1,"content":"chapter two?"}
insert into public.message_status (message_id, user_id) values (1, '22222222-0000-4000-8000-000000000002');
-- => room book club: new-status {"status":"delivered"}
update public.message_status set status = 'read';
-- => room book club: status-updated {"message_id":1,"status":"read"}
insert into public.message_edits (message_id, former) values (1, 'chapter two?');
-- => room book club: new-edit {"message_id":1}
update public.messages set content = 'chapter three?', edited_at = '2026-11-28 12:00:00+00' where id = 1;
-- => room book club: message-updated {"content":"chapter three?"}
insert into public.polls values ('99999999-0000-4000-8000-000000000001', 'book club', 'next?');
-- => room book club: new-poll {"question":"next?"}
insert into public.poll_options values ('88888888-0000-4000-8000-000000000001', '99999999-0000-4000-8000-000000000001', 'Emma');
insert into public.poll_votes values ('88888888-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002');
-- => room book club: new-vote {"user_id":"22222222-0000-4000-8000-000000000002"}
update public.profiles set nickname = 'bobby' where id = '22222222-0000-4000-8000-000000000002';
-- => room book club: profile-updated {"nickname":"bobby"}
delete from public.polls;
-- => room book club: poll-deleted
-- => room book club: vote-deleted {"user_id":"22222222-0000-4000-8000-000000000002"}
update public.group_members set status = 'left' where user_id = '22222222-0000-4000-8000-000000000002';
-- => room book club: user-left {"user_id":"22222222-0000-4000-8000-000000000002"}
-- => user 22222222-0000-4000-8000-000000000002: user-left
update public.profiles set nickname = 'bob' where id = '22222222-0000-4000-8000-000000000002';
delete from public.message_status;
-- => room book club: status-deleted {"message_id":1}
