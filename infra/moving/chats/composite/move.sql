select roomcast.attach('talk.posts', name => 'message', columns => '{team,no,post,author,words}', room => $$r.team || '/' || r.no$$);
-- Members by two columns: the room's name is a generated column of theirs.
alter table talk.members add column room text generated always as (team || '/' || no::text) stored;
create index on talk.members (room, member);
select roomcast.attach_members('talk.members', room_column => 'room', user_column => 'member');
-- In place of realtime.send('poll-closed', …) in the chat's own trigger:
create function talk.close_poll() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if old.open and not new.open then
    perform roomcast.send(new.team || '/' || new.no, 'poll-closed', jsonb_build_object('id', new.id));
    perform roomcast.send_to_user(m.member, 'poll-result', jsonb_build_object('id', new.id))
       from talk.members m where m.team = new.team and m.no = new.no;
  end if;
  return null;
end
$$;
create trigger close_poll after update on talk.polls for each row execute function talk.close_poll();
