select roomcast.attach_messages('public.group_messages', room_column => 'group_id', columns => '{id,group_id,author,text,edited_at,created_at}');
select roomcast.attach_members('public.group_members', room_column => 'group_id', user_column => 'user_id',
  active => 'left_at is null', columns => '{group_id,user_id,role}');
select roomcast.attach('public.groups', name => 'group', columns => '{id,name}', room => 'r.id');
select roomcast.attach('public.contacts', name => 'contact', columns => '{user_id,contact_id,status}',
  users => 'array[r.user_id, r.contact_id]', old => '{status}');
select roomcast.attach('public.file_requests', name => 'file-request', columns => '{id,from_user,to_user,path,state}',
  users => 'array[r.from_user, r.to_user]');
