-- What SQL of the team's may say: send, send_to_user. Granted to nobody.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- send_as writes one event of the team's own. data is an object.
create or replace function roomcast.send_as(key text, event text, data jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  record constant text := coalesce(send_as.data, '{}')::text;
begin
  if event is null or event !~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}$' or event ~* '^(pusher|client-|roomcast)' then
    raise exception 'event: must be a name, as poll-closed; pusher…, client-… and roomcast… are taken'
      using errcode = 'invalid_parameter_value';
  elsif key is null or not roomcast.fits_channel(key) then
    raise exception 'room: must be a text that a channel can carry' using errcode = 'invalid_parameter_value';
  elsif jsonb_typeof(data) <> 'object' then
    raise exception 'data: must be an object' using errcode = 'invalid_parameter_value';
  elsif octet_length(record) > 262144 then
    raise exception 'data: over 256 kB' using errcode = 'program_limit_exceeded';
  end if;
  perform roomcast.enqueue_event('send', 'SEND', key, record, event);
end
$$;

-- send publishes an event in a room, in order with everything else there: what
-- realtime.send and realtime.broadcast_changes did.
create or replace function roomcast.send(room text, event text, data jsonb default '{}') returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform roomcast.send_as(roomcast.room_key(room), event, data);
end
$$;

-- send_to_user publishes an event in a user's personal stream.
create or replace function roomcast.send_to_user(user_id uuid, event text, data jsonb default '{}') returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform roomcast.send_as(roomcast.user_key(user_id), event, data);
end
$$;

-- enqueue_event writes one event that no table's row stands behind.
create or replace function roomcast.enqueue_event(kind text, op text, key text, record text, name text default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  wakes boolean;
begin
  insert into roomcast.outbox as b (attached, op, room, key_hash, record, name, wants_wakeup)
  select a.id, enqueue_event.op, key, hashtextextended(record, a.id), record, enqueue_event.name, roomcast.wants_wakeup()
    from roomcast.attached_tables a where a.kind = enqueue_event.kind order by a.detached_at nulls first, a.id limit 1
  returning b.wants_wakeup into wakes;
  if wakes then
    perform roomcast.note_wakeup_wanted();
  end if;
end
$$;

commit;
