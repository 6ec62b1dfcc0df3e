insert into public.conversations (id, title, participant_ids) values ('aaaaaaaa-0000-4000-8000-000000000001', 'Trip', '{11111111-0000-4000-8000-000000000001,22222222-0000-4000-8000-000000000002}');
-- => room aaaaaaaa-0000-4000-8000-000000000001: new-conversation {"title":"Trip"}
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-joined
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-joined
-- => user 11111111-0000-4000-8000-000000000001: new-listed {"title":"Trip"}
-- => user 11111111-0000-4000-8000-000000000001: user-joined
-- => user 22222222-0000-4000-8000-000000000002: new-listed {"title":"Trip"}
-- => user 22222222-0000-4000-8000-000000000002: user-joined
-- may 11111111-0000-4000-8000-000000000001 aaaaaaaa-0000-4000-8000-000000000001: yes
-- may 22222222-0000-4000-8000-000000000002 aaaaaaaa-0000-4000-8000-000000000001: yes
-- may 33333333-0000-4000-8000-000000000003 aaaaaaaa-0000-4000-8000-000000000001: no
insert into public.messages (id, conversation_id, sender_id, body) values ('cccccccc-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000001', 'when?');
-- => room aaaaaaaa-0000-4000-8000-000000000001: new-message {"body":"when?","reactions":{}}
update public.messages set reactions = '{"👍":1}' where id = 'cccccccc-0000-4000-8000-000000000001';
-- => room aaaaaaaa-0000-4000-8000-000000000001: message-updated {"reactions":{"👍":1}}
insert into public.message_reactions values ('cccccccc-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002', '👍');
-- => room aaaaaaaa-0000-4000-8000-000000000001: new-reaction {"emoji":"👍"}
delete from public.message_reactions;
-- => room aaaaaaaa-0000-4000-8000-000000000001: reaction-deleted {"message_id":"cccccccc-0000-4000-8000-000000000001","emoji":"👍"}
update public.conversations set participant_ids = '{11111111-0000-4000-8000-000000000001,33333333-0000-4000-8000-000000000003}';
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-joined
-- => room aaaaaaaa-0000-4000-8000-000000000001: user-left
-- => user 22222222-0000-4000-8000-000000000002: listed-deleted
-- => user 22222222-0000-4000-8000-000000000002: user-left
-- => user 33333333-0000-4000-8000-000000000003: new-listed
-- => user 33333333-0000-4000-8000-000000000003: user-joined
-- may 22222222-0000-4000-8000-000000000002 aaaaaaaa-0000-4000-8000-000000000001: no
-- may 33333333-0000-4000-8000-000000000003 aaaaaaaa-0000-4000-8000-000000000001: yes
insert into public.message_reactions values ('cccccccc-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000001', '🎉');
-- => room aaaaaaaa-0000-4000-8000-000000000001: new-reaction
delete from public.messages;
-- => room aaaaaaaa-0000-4000-8000-000000000001: message-deleted {"id":"cccccccc-0000-4000-8000-000000000001"}
-- => room aaaaaaaa-0000-4000-8000-000000000001: reaction-deleted
