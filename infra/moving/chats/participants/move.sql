select roomcast.attach_messages('public.messages', room_column => 'conversation_id', columns => '{id,conversation_id,sender_id,body,reactions,created_at}');
select roomcast.attach_members('public.conversations', room_column => 'id', user_column => 'participant_ids');
-- The conversation's own title and date, to the conversation and to the participants' lists.
select roomcast.attach('public.conversations', name => 'conversation', columns => '{id,title,updated_at}', room => 'r.id');
select roomcast.attach('public.conversations', name => 'listed', columns => '{id,title,updated_at}', users => 'r.participant_ids');
select roomcast.attach('public.message_reactions', name => 'reaction', columns => '{message_id,user_id,emoji}',
  room => 'select m.conversation_id from public.messages m where m.id = r.message_id');
