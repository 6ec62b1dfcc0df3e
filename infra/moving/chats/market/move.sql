select roomcast.attach_messages('public.messages', room_column => 'conversation_id', columns => '{id,conversation_id,parent_id,sender_id,body,deleted_at,created_at}');
-- The two users of a conversation, in one column.
alter table public.conversations add column participants uuid[] generated always as (array[buyer_id, seller_id]) stored;
select roomcast.attach_members('public.conversations', room_column => 'id', user_column => 'participants');
-- The list: each conversation's row to its two users.
select roomcast.attach('public.conversations', name => 'conversation', columns => '{id,listing_id,buyer_id,seller_id,last_message,last_message_at}', users => 'r.participants');
select roomcast.attach('public.message_attachments', name => 'attachment', columns => '{id,message_id,storage_path,mime_type}',
  room => 'select m.conversation_id from public.messages m where m.id = r.message_id');
-- Two steps away.
select roomcast.attach('public.attachment_scans', name => 'scan', columns => '{attachment_id,verdict}',
  room => 'select m.conversation_id from public.message_attachments a join public.messages m on m.id = a.message_id where a.id = r.attachment_id');
-- Only who blocks hears of it.
select roomcast.attach('public.blocked_users', name => 'blocked', columns => '{blocker_id,blocked_id}', users => 'r.blocker_id');
