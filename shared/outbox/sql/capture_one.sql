-- The shortest way, for the chat's usual statement: an INSERT of one row.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- rooms_of_one_sql: a LATERAL with the places of row r in an array, and for members who it
-- is: the room and, as in note_members, the user in person.
create or replace function roomcast.rooms_of_one_sql(a roomcast.attached_tables) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case
    when a.kind = 'members' then format($sql$(select array_remove(array[t.room,
        case when lower(t.member) ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then '@' || lower(t.member) end], null) as rooms, t.room, t.member,
        (octet_length(t.room) between 1 and 50 or t.room ~ '^[A-Za-z0-9_@,.;-]{51,151}$' or roomcast.fits_channel(t.room)) as fits from %s t)$sql$, roomcast.targets_sql(a, false))
    when a.shape = 'one' then format($sql$(select array[t.room] as rooms, t.room, t.member,
        (octet_length(t.room) between 1 and 50 or t.room ~ '^[A-Za-z0-9_@,.;-]{51,151}$' or roomcast.fits_channel(t.room)) as fits from %s t)$sql$, roomcast.targets_sql(a, false))
    else format($sql$(select k.keys as rooms, null::text as room, null::text as member,
        cardinality(k.keys) between 1 and 100 and array_position(k.keys, null) is null%s as fits
        from (select %s as keys offset 0) k)$sql$,
      case when a.users is null then ' and (select bool_and(octet_length(u.room) between 1 and 50 or roomcast.fits_channel(u.room)) from unnest(k.keys) as u (room))' else '' end,
      roomcast.keys_sql(a)) end
$$;

-- asks_sql is the value of wants_wakeup in the outbox.
create or replace function roomcast.asks_sql() returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format('case when %s then false else roomcast.decide_wakeup() end', roomcast.no_wakeup_sql())
$$;

-- usual_insert_sql is what one_insert_sql says where rows have one place each.
create or replace function roomcast.usual_insert_sql(a roomcast.attached_tables) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format($body$
  <<one_row>>
  declare
    room     text;
    key_hash bigint;
    record   text;
  begin
  begin
    select e.room, hashtextextended(%2$s, %1$s),
           case when current_setting('roomcast.capture', true) is distinct from 'off' and not (%5$s) then row_to_json("roomcast.row")::text end
      into strict one_row.room, one_row.key_hash, one_row.record
      from new_rows r cross join lateral %3$s e cross join lateral (select %4$s) "roomcast.row";
  exception when others or assert_failure then   -- not one row, or not as usual
    record := null;
  end;
  if octet_length(record) <= 262144 and key_hash is not null and %6$s then
    insert into roomcast.outbox (attached, op, room, key_hash, record, wants_wakeup)
    values (%1$s, 'INSERT', room, key_hash, record, %7$s);
    return null;
  end if;
  end;
$body$, a.id, roomcast.key_sql(a, 'r', 'e'), roomcast.targets_sql(a, false), roomcast.columns_sql(a, 'r', a.columns),
    roomcast.is_big_sql(a, 'r'),
    case when roomcast.is_plain(a.relation, a.room_column) then 'room is not null'
         else 'octet_length(room) between 1 and 151 and (octet_length(room) <= 50 or roomcast.fits_channel(room))' end,
    roomcast.asks_sql())
$$;

-- one_insert_sql handles the usual case, one row, and then returns from the trigger's
-- function; otherwise it does nothing.
create or replace function roomcast.one_insert_sql(a roomcast.attached_tables) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when a.kind = 'rows' and a.shape = 'one' then roomcast.usual_insert_sql(a) else format($body$
  <<one_row>>
  declare
    rooms    text[];
    key_hash bigint;
    record   text;
  begin
  begin
    select e.rooms, hashtextextended(%2$s, %1$s),
           case when current_setting('roomcast.capture', true) is distinct from 'off' and not (%5$s)
                     and e.fits and %2$s is not null then row_to_json("roomcast.row")::text end
      into strict one_row.rooms, one_row.key_hash, one_row.record
      from new_rows r cross join lateral %3$s e cross join lateral (select %4$s) "roomcast.row";
  exception when others or assert_failure then   -- not one row, or not as usual
    record := null;
  end;
  if octet_length(record) <= 262144 then
    insert into roomcast.outbox (attached, op, room, key_hash, record, wants_wakeup)
    select %1$s, 'INSERT', t.room, one_row.key_hash, one_row.record, t.i = 1 and %6$s
      from unnest(one_row.rooms) with ordinality as t (room, i);
    return null;
  end if;
  end;
$body$, a.id, roomcast.key_sql(a, 'r', 'e'), roomcast.rooms_of_one_sql(a), roomcast.columns_sql(a, 'r', a.columns, 'e.member'),
    roomcast.is_big_sql(a, 'r'), roomcast.asks_sql()) end
   where a.kind = 'rows' or a.shape = 'one'
$$;

-- one_update_sql does so for an UPDATE of one row that stays in its room: an edit, a read
-- receipt, a room's last message. An UPDATE that changes no relayed column returns, too.
create or replace function roomcast.one_update_sql(a roomcast.attached_tables) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when a.kind = 'members' then format($body$
  declare
    same boolean;
  begin
  begin
    select "roomcast.was" *= "roomcast.is" into strict same
      from old_rows o cross join new_rows w
      cross join lateral (select %1$s) "roomcast.was" cross join lateral (select %2$s) "roomcast.is";
  exception when others or assert_failure then
    same := false;
  end;
  if same then   -- such as the last message of a room that names its members
    return null;
  end if;
  end;
$body$, roomcast.bare_columns_sql('o', a.watched), roomcast.bare_columns_sql('w', a.watched))
  else format($body$
  <<one_row>>
  declare
    rooms    text[];
    key_hash bigint;
    record   text;
    former   text;
    same     boolean;
  begin
  begin
    select e.rooms, hashtextextended(%2$s, %1$s), "roomcast.was" *= "roomcast.is", %10$s,
           case when current_setting('roomcast.capture', true) is distinct from 'off' and "roomcast.was" *<> "roomcast.is" and not (%5$s)
                     and e.fits and e.rooms = f.rooms and %2$s = %3$s and "roomcast.told" *<> "roomcast.new" then row_to_json("roomcast.row")::text end
      into strict one_row.rooms, one_row.key_hash, one_row.same, one_row.former, one_row.record
      from old_rows o cross join new_rows w
      cross join lateral (select %6$s) "roomcast.was" cross join lateral (select %7$s) "roomcast.is"
      cross join lateral (select x.rooms from (select o.*) r cross join lateral %4$s x) f
      cross join lateral (select x.rooms, x.fits from (select w.*) r cross join lateral %4$s x) e
      cross join lateral (select %8$s) "roomcast.told" cross join lateral (select %9$s) "roomcast.new"
      cross join lateral (select %11$s) "roomcast.row"%12$s;
  exception when others or assert_failure then   -- not one row, or not as usual
    same := false;
    record := null;
  end;
  if same then
    return null;
  end if;
  if octet_length(record) <= 262144 and coalesce(octet_length(former), 0) <= 262144 then
    insert into roomcast.outbox (attached, op, room, key_hash, record, old, wants_wakeup)
    select %1$s, 'UPDATE', t.room, one_row.key_hash, one_row.record, one_row.former, t.i = 1 and %13$s
      from unnest(one_row.rooms) with ordinality as t (room, i);
    return null;
  end if;
  end;
$body$, a.id, roomcast.key_sql(a, 'w', null), roomcast.key_sql(a, 'o', null), roomcast.rooms_of_one_sql(a), roomcast.is_big_sql(a, 'w'),
    roomcast.bare_columns_sql('o', a.watched), roomcast.bare_columns_sql('w', a.watched),
    roomcast.bare_columns_sql('o', a.columns), roomcast.bare_columns_sql('w', a.columns),
    case when a.old is null then 'null' else 'row_to_json("roomcast.old")::text' end,
    roomcast.columns_sql(a, 'w', a.columns),
    case when a.old is null then '' else format(' cross join lateral (select %s) "roomcast.old"', roomcast.columns_sql(a, 'o', a.old)) end,
    roomcast.asks_sql()) end
$$;

commit;
