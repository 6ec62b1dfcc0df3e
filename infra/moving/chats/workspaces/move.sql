select roomcast.attach_messages('public.messages', room_column => 'channel_id', columns => '{id,channel_id,author_id,thread_id,body,created_at}');
-- Members by the chat's own number: the uuid of their tokens in a column beside it.
alter table public.channel_members add column member_uuid uuid;
create function public.fill_member_uuid() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  new.member_uuid := (select u.auth_id from public.users u where u.id = new.user_id);
  return new;
end
$$;
create trigger fill_member_uuid before insert or update on public.channel_members for each row execute function public.fill_member_uuid();
update public.channel_members set member_uuid = member_uuid;
create index on public.channel_members (channel_id, member_uuid);
select roomcast.attach_members('public.channel_members', room_column => 'channel_id', user_column => 'member_uuid', columns => '{channel_id,user_id,member_uuid,last_read_message_id}');
-- All of a workspace, in a room of the workspace's own: a workspace and a channel may have the same number.
alter table public.workspace_members add column room text generated always as ('workspaces/' || workspace_id::text) stored;
alter table public.workspace_members add column member_uuid uuid;
create trigger fill_member_uuid before insert or update on public.workspace_members for each row execute function public.fill_member_uuid();
update public.workspace_members set member_uuid = member_uuid;
create index on public.workspace_members (room, member_uuid);
create index on public.channels ((id::text));
select roomcast.attach_members('public.workspace_members', room_column => 'room', user_column => 'member_uuid');
create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select roomcast.is_member(can_read.room, can_read.user_id)
      or exists (select from public.channels c
                  where c.id::text = can_read.room and not c.is_private and roomcast.is_member('workspaces/' || c.workspace_id, can_read.user_id))
$$;
-- The list of channels: to the workspace, without the private ones' names.
select roomcast.attach('public.channels', name => 'channel', columns => '{id,workspace_id,name}',
  room => $$case when r.is_private then r.id::text else 'workspaces/' || r.workspace_id end$$);
select roomcast.attach('public.reactions', name => 'reaction', columns => '{message_id,user_id,emoji}',
  room => 'select m.channel_id from public.messages m where m.id = r.message_id');
select roomcast.attach('public.direct_messages', name => 'direct-message', columns => '{id,from_id,to_id,body}',
  users => 'select u.auth_id from public.users u where u.id in (r.from_id, r.to_id)');
