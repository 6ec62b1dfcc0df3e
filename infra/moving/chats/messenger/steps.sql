insert into public.groups values ('aaaaaaaa-0000-4000-8000-000000000001', 'Band');
-- => room aaaaaaaa-0000-4000-8000-000000000001: new-group {"name":"Band"}
insert into public.group_members (group_id, user_id, role) values ('aaaaaaaa-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000001', 'owner'), ('aaaaaaaa-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002', 'member');
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-joined {"role":"owner"}
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-joined {"role":"member"}
-- => user 11111111-0000-4000-8000-000000000001: user-joined
-- => user 22222222-0000-4000-8000-000000000002: user-joined
update public.group_members set role = 'admin' where user_id = '22222222-0000-4000-8000-000000000002';
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-updated {"role":"admin"}
insert into public.group_messages (id, group_id, author, text) values ('cccccccc-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002', 'rehearsal');
-- => room aaaaaaaa-0000-4000-8000-000000000001: new-message {"text":"rehearsal"}
update public.group_members set left_at = now() where user_id = '22222222-0000-4000-8000-000000000002';
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-left {"user_id":"22222222-0000-4000-8000-000000000002"}
-- => user 22222222-0000-4000-8000-000000000002: user-left
-- may 22222222-0000-4000-8000-000000000002 aaaaaaaa-0000-4000-8000-000000000001: no
-- may 11111111-0000-4000-8000-000000000001 aaaaaaaa-0000-4000-8000-000000000001: yes
update public.group_members set left_at = null where user_id = '22222222-0000-4000-8000-000000000002';
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-joined {"user_id":"22222222-0000-4000-8000-000000000002"}
-- => user 22222222-0000-4000-8000-000000000002: user-joined
-- may 22222222-0000-4000-8000-000000000002 aaaaaaaa-0000-4000-8000-000000000001: yes
insert into public.contacts (user_id, contact_id, note) values ('11111111-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002', 'private');
-- => user 11111111-0000-4000-8000-000000000001: new-contact {"status":"requested"}
-- => user 22222222-0000-4000-8000-000000000002: new-contact {"status":"requested"}
update public.contacts set status = 'accepted';
-- => user 11111111-0000-4000-8000-000000000001: contact-updated {"status":"accepted","roomcast":{"old":{"status":"requested"}}}
-- => user 22222222-0000-4000-8000-000000000002: contact-updated {"status":"accepted","roomcast":{"old":{"status":"requested"}}}
update public.contacts set note = 'still private';
insert into public.file_requests (from_user, to_user, path) values ('11111111-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002', 'a/b.pdf');
-- => user 11111111-0000-4000-8000-000000000001: new-file-request {"state":"open"}
-- => user 22222222-0000-4000-8000-000000000002: new-file-request {"state":"open"}
delete from public.contacts;
-- => user 11111111-0000-4000-8000-000000000001: contact-deleted
-- => user 22222222-0000-4000-8000-000000000002: contact-deleted
delete from public.groups;
-- => room aaaaaaaa-0000-4000-8000-000000000001: group-deleted
-- => room aaaaaaaa-0000-4000-8000-000000000001: message-deleted
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-left
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-left
-- => user 11111111-0000-4000-8000-000000000001: user-left
-- => user 22222222-0000-4000-8000-000000000002: user-left
