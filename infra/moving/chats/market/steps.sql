insert into auth.users (id) values ('11111111-0000-4000-8000-000000000001'), ('22222222-0000-4000-8000-000000000002'), ('33333333-0000-4000-8000-000000000003');
insert into public.listings (id, seller_id, title) values (7, '22222222-0000-4000-8000-000000000002', 'A lamp');
insert into public.conversations (id, listing_id, buyer_id, seller_id) values ('aaaaaaaa-0000-4000-8000-000000000001', 7, '11111111-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002');
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-joined
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-joined
-- => user 11111111-0000-4000-8000-000000000001: user-joined
-- => user 22222222-0000-4000-8000-000000000002: user-joined
-- => user 11111111-0000-4000-8000-000000000001: new-conversation {"listing_id":7}
-- => user 22222222-0000-4000-8000-000000000002: new-conversation {"listing_id":7}
-- may 11111111-0000-4000-8000-000000000001 aaaaaaaa-0000-4000-8000-000000000001: yes
-- may 22222222-0000-4000-8000-000000000002 aaaaaaaa-0000-4000-8000-000000000001: yes
-- may 33333333-0000-4000-8000-000000000003 aaaaaaaa-0000-4000-8000-000000000001: no
insert into public.messages (id, conversation_id, sender_id, body) values ('cccccccc-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000001', 'Is it still there?');
-- => room aaaaaaaa-0000-4000-8000-000000000001: new-message {"body":"Is it still there?","parent_id":null}
-- => user 11111111-0000-4000-8000-000000000001: conversation-updated {"last_message":"Is it still there?"}
-- => user 22222222-0000-4000-8000-000000000002: conversation-updated {"last_message":"Is it still there?"}
insert into public.messages (id, conversation_id, parent_id, sender_id, body) values ('cccccccc-0000-4000-8000-000000000002', 'aaaaaaaa-0000-4000-8000-000000000001', 'cccccccc-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002', 'It is');
-- => room aaaaaaaa-0000-4000-8000-000000000001: new-message {"parent_id":"cccccccc-0000-4000-8000-000000000001"}
-- => user 11111111-0000-4000-8000-000000000001: conversation-updated
-- => user 22222222-0000-4000-8000-000000000002: conversation-updated
insert into public.message_attachments (id, message_id, storage_path) values (1, 'cccccccc-0000-4000-8000-000000000002', 'lamps/1.jpg');
-- => room aaaaaaaa-0000-4000-8000-000000000001: new-attachment {"storage_path":"lamps/1.jpg"}
insert into public.attachment_scans (attachment_id) values (1);
-- => room aaaaaaaa-0000-4000-8000-000000000001: new-scan {"verdict":"pending"}
update public.attachment_scans set verdict = 'clean';
-- => room aaaaaaaa-0000-4000-8000-000000000001: scan-updated {"verdict":"clean"}
update public.messages set deleted_at = '2026-11-28 12:00:00+00', body = null where id = 'cccccccc-0000-4000-8000-000000000001';
-- => room aaaaaaaa-0000-4000-8000-000000000001: message-updated {"body":null,"deleted_at":"2026-11-28T12:00:00+00:00"}
insert into public.blocked_users values ('11111111-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002');
-- => user 11111111-0000-4000-8000-000000000001: new-blocked {"blocked_id":"22222222-0000-4000-8000-000000000002"}
delete from public.messages where id = 'cccccccc-0000-4000-8000-000000000001';
-- => room aaaaaaaa-0000-4000-8000-000000000001: message-deleted {"id":"cccccccc-0000-4000-8000-000000000001"}
-- => room aaaaaaaa-0000-4000-8000-000000000001: message-deleted {"id":"cccccccc-0000-4000-8000-000000000002"}
-- => room aaaaaaaa-0000-4000-8000-000000000001: attachment-deleted {"id":1}
-- => room aaaaaaaa-0000-4000-8000-000000000001: scan-deleted {"attachment_id":1}
