select roomcast.attach_messages('public.messages', room_column => 'group_id', columns => '{id,group_id,author_id,content,edited_at,created_at}');
select roomcast.attach_members('public.group_members', room_column => 'group_id', user_column => 'user_id',
  active => $$status = 'active'$$, columns => '{group_id,user_id,role}');
-- Who is invited is no member yet, and hears of it in person.
select roomcast.attach('public.group_invites', name => 'invite', columns => '{id,group_id,inviter_id,invitee_id,status}',
  users => 'array[r.inviter_id, r.invitee_id]', old => '{status}');
select roomcast.attach('public.message_status', name => 'status', columns => '{message_id,user_id,status}',
  room => 'select m.group_id from public.messages m where m.id = r.message_id');
select roomcast.attach('public.message_edits', name => 'edit', columns => '{id,message_id,at}',
  room => 'select m.group_id from public.messages m where m.id = r.message_id');
select roomcast.attach('public.polls', name => 'poll', columns => '{id,group_id,question}', room => 'r.group_id');
select roomcast.attach('public.poll_votes', name => 'vote', columns => '{option_id,user_id}',
  room => 'select p.group_id from public.poll_options o join public.polls p on p.id = o.poll_id where o.id = r.option_id');
select roomcast.attach('public.profiles', name => 'profile', columns => '{id,nickname,last_seen}',
  room => $$array(select m.group_id from public.group_members m where m.user_id = r.id and m.status = 'active')$$);
