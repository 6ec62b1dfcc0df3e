package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var plainIdent = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// none says that there is no table of members: a team's own can_read decides.
const none = "none"

// askTables asks what is relayed. What is attached already is not asked again.
func askTables(ctx context.Context, a *asker, db *database, want *wanted) error {
	want.hasMembers = db.attached("members")
	if a.known["MESSAGES_TABLE"] != "" || !db.attached("message") {
		if err := askMessages(ctx, a, db, want); err != nil {
			return err
		}
	}
	if a.known["MEMBERS_TABLE"] != "" || !db.attached("members") {
		return askMembers(ctx, a, db, want)
	}
	return nil
}

func askMessages(ctx context.Context, a *asker, db *database, want *wanted) error {
	t, err := a.table(ctx, db, question{name: "MESSAGES_TABLE", hint: "the chat's messages"}, likeMessages)
	if err != nil || t.Name == "" {
		return err
	}
	rooms, known := roomTables(db.tables()), a.known["MESSAGES_ROOM_COLUMN"]
	m := choice{table: t, room: t.roomColumn(rooms)}
	pair, isPair := t.pairOf()
	var rerr error
	switch key := t.roomKey(db.tables(), rooms); {
	case known == "" && len(key) > 0:
		m.place = t.keyText("r.", key)
	case known == "" && m.room == "" && isPair:
		m.users = t.usersOf("r.", pair[:])
	case known == none || known == "" && m.room == "" && a.offersNone(t):
		m.room, m.place = "", quote("everybody")
	default:
		m.room, rerr = a.column(ctx, t, "MESSAGES_ROOM_COLUMN", m.room)
	}
	m.keepApart()
	list, lerr := a.ask(ctx, question{name: "MESSAGES_COLUMNS", hint: "those that may leave the database", offer: strings.Join(t.shared(), ","), check: withKey(t)})
	m.columns = split(list)
	want.messages = m
	return errors.Join(rerr, lerr)
}

// offersNone: has a table of messages, as far as names tell, one room for everybody? Then
// that is asked, and taken where nobody answers.
func (a *asker) offersNone(t table) bool {
	return firstOf(textColumns(), t.columns()) != "" && len(likeMessages([]table{t})) > 0
}

// keepApart gives the messages that only some of a room may read, such as internal notes,
// a room of their own.
func (c *choice) keepApart() {
	for _, column := range c.Columns {
		if column.Type == "boolean" && called([]string{"internal", "is_internal", "staff_only", "is_private", "private", "is_note", "is_internal_note"}, column.Name) && c.users == "" {
			if c.place == "" {
				c.place = "r." + quoteIdent(c.room)
			}
			c.place += fmt.Sprintf(" || case when r.%s then '/internal' else '' end", quoteIdent(column.Name))
			c.apart = column.Name
			return
		}
	}
}

func askMembers(ctx context.Context, a *asker, db *database, want *wanted) error {
	q := question{name: "MEMBERS_TABLE", hint: "who is in which room; \"none\" if roomcast.can_read is yours"}
	if want.messages.users != "" {
		q.offer = none // a message goes to its two users: there are no rooms to be a member of
	}
	all := db.tables()
	like := func(all []table) []table { return ofSameRooms(likeMembers(all), want.messages, all) }
	if len(like(all)) == 0 && len(all) > 0 {
		q.offer = none // said in the plan
	}
	t, err := a.table(ctx, db, q, like)
	if err != nil || t.Name == "" {
		return err
	}
	m := memberChoice(t, all)
	var rerr, uerr error
	if len(m.adds) == 0 || a.known["MEMBERS_ROOM_COLUMN"] != "" || a.known["MEMBERS_USER_COLUMN"] != "" {
		m.adds, m.added, m.array = nil, false, false
		m.room, rerr = a.column(ctx, t, "MEMBERS_ROOM_COLUMN", t.memberRoom(roomTables(all)))
		m.user, uerr = a.column(ctx, t, "MEMBERS_USER_COLUMN", t.memberUser())
	}
	if known := a.known["MEMBERS_ACTIVE"]; known != "" {
		m.active = known
		if err := db.tryCondition(ctx, t, known); err != nil {
			return errors.Join(rerr, uerr, fmt.Errorf("MEMBERS_ACTIVE: %w", err))
		}
	}
	want.members = m
	return errors.Join(rerr, uerr)
}

// memberChoice is how a table of members is attached. attach_members takes one column for
// the room and one for the users' uuids: where there is none such, the plan adds it.
func memberChoice(t table, all []table) choice {
	rooms := roomTables(all)
	m := choice{table: t, room: t.memberRoom(rooms), user: t.memberUser()}
	m.active, _ = t.activeOf("")
	if key := t.roomKey(all, rooms); len(key) > 0 && m.room == "" {
		m.room = t.unused("room", "room_key")
		m.adds = append(m.adds, fmt.Sprintf("alter table %s add column %s text generated always as (%s) stored;", t.Name, m.room, t.keyText("", key)))
	}
	pair, _ := t.pairOf()
	switch {
	case t.isRoomOfTwo(rooms) && t.arrayColumn() == "":
		m.room, m.user, m.added, m.array = t.IDs[0], t.unused("participants", "participant_ids"), true, true
		if t.people[pair[0]].uuid != "" || t.people[pair[1]].uuid != "" {
			m.adds = append(m.adds, t.filled(m.user, "uuid[]", pair[:]...)...)
		} else {
			m.adds = append(m.adds, fmt.Sprintf("alter table %s add column %s uuid[] generated always as (%s) stored;", t.Name, m.user, arrayOf("", pair[:])))
		}
	case t.typeOf(m.user) == "jsonb":
		list := m.user
		m.user, m.added, m.array = t.unused("participant_uuids", "roomcast_users"), true, true
		m.adds = append(m.adds, uuidsIn(t.schema()), fmt.Sprintf("alter table %s add column %s uuid[] generated always as (%s.uuids_in(%s)) stored;", t.Name, m.user, t.schema(), quoteIdent(list)))
	case t.people[m.user].uuid != "":
		from := m.user
		m.user, m.added = t.unused("member_uuid", "roomcast_user"), true
		m.adds = append(m.adds, t.filled(m.user, "uuid", from)...)
	}
	if len(m.adds) > 0 && !m.array {
		m.adds = append(m.adds, fmt.Sprintf("create index on %s (%s, %s);", t.Name, quoteIdent(m.room), quoteIdent(m.user)))
	}
	return m
}

// unused is the first of names that no column has.
func (t table) unused(names ...string) string {
	for _, name := range names {
		if firstOf([]string{name}, t.columns()) == "" {
			return name
		}
	}
	return "roomcast_" + names[0]
}

func (t table) schema() string {
	schema, _, found := strings.Cut(t.Name, ".")
	if !found {
		return "public"
	}
	return schema
}

var notInNames = regexp.MustCompile(`[^a-z0-9_]+`)

// filled adds a column that a trigger fills with the uuids of the users in these columns,
// since a generated column cannot look anything up. If the trigger's look-up fails, it fails
// no statement and gives nobody access. Users who get an account later are filled in then.
func (t table) filled(column, kind string, people ...string) []string {
	fn := strings.Trim(notInNames.ReplaceAllString(t.base(), "_"), "_") + "_" + column
	expression := t.usersOf("new.", people)
	if kind == "uuid" {
		expression = t.uuidOf("new.", people[0])
	}
	sql := []string{
		fmt.Sprintf("alter table %s add column %s %s;", t.Name, column, kind),
		fmt.Sprintf(`create function %[1]s.fill_%[2]s() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  who %[4]s;
begin
  begin
    who := %[5]s;
  exception when others then
    raise warning '%%: %%', tg_name, sqlerrm;
  end;
  return jsonb_populate_record(new, jsonb_build_object('%[3]s', who));
end
$$;`, t.schema(), fn, column, kind, expression),
		fmt.Sprintf("create trigger fill_%s before insert or update on %s for each row execute function %s.fill_%s();", column, t.Name, t.schema(), fn),
		fmt.Sprintf("update %s set %[2]s = %[2]s;", t.Name, column),
	}
	for _, name := range people {
		if p := t.people[name]; p.uuid != "" {
			sql = append(sql, fmt.Sprintf(`create function %[1]s.refill_%[2]s_by_%[3]s() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  update %[4]s set %[5]s = %[5]s where %[6]s = new.%[7]s;
  return null;
exception when others then
  raise warning '%%: %%', tg_name, sqlerrm;
  return null;
end
$$;`, t.schema(), fn, plain(name), t.Name, column, quoteIdent(name), quoteIdent(p.key)),
				fmt.Sprintf("create trigger refill_%[1]s_by_%[2]s after update of %[3]s on %[4]s for each row execute function %[5]s.refill_%[1]s_by_%[2]s();", fn, plain(name), quoteIdent(p.uuid), p.table, t.schema()))
		}
	}
	return sql
}

// uuidsIn is a function for the users of a list in jsonb: ids, or objects that have one.
func uuidsIn(schema string) string {
	return fmt.Sprintf(`create or replace function %[1]s.uuids_in(list jsonb) returns uuid[] language sql immutable set search_path = pg_catalog, pg_temp as $$
  select array(select e.id::uuid from (select case jsonb_typeof(v) when 'object' then coalesce(v ->> 'user_id', v ->> 'id') else v #>> '{}' end as id
                                         from jsonb_array_elements(case jsonb_typeof(list) when 'array' then list else '[]' end) v) e
                where e.id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')
$$;
grant execute on function %[1]s.uuids_in(jsonb) to public;`, schema)
}

// ofSameRooms leaves out who is a member of something else than the messages' rooms.
func ofSameRooms(members []table, messages choice, all []table) []table {
	rooms := roomTables(all)
	room := messages.roomTable(rooms)
	return slices.DeleteFunc(slices.Clone(members), func(t table) bool {
		other := choice{table: t, room: t.memberRoom(rooms)}.roomTable(rooms)
		if t.isRoomOfTwo(rooms) || t.arrayColumn() != "" { // a row is a room, and names its users
			other = t.Name
		}
		return room != "" && other != "" && other != room
	})
}

// roomTable is the table of rooms that a table's rows point at, if a foreign key says so.
func (c choice) roomTable(rooms []string) string {
	if ref := c.Refs[c.room]; ref != nil {
		return ref[0]
	}
	for _, key := range c.Keys {
		if c.room == "" && len(key.Columns) > 1 && slices.Contains(rooms, key.Table) {
			return key.Table
		}
	}
	return ""
}

// table asks for a table, offering the likeliest. The answer has its columns.
func (a *asker) table(ctx context.Context, db *database, q question, like func([]table) []table) (table, error) {
	all := db.tables()
	guesses := like(all)
	if len(guesses) > 0 && q.offer == "" {
		q.offer = guesses[0].Name
	}
	if len(guesses) > 1 && a.known[q.name] == "" {
		fmt.Fprintf(a.out, "  found: %s\n", names(guesses))
	}
	find := func(name string) int {
		return slices.IndexFunc(all, func(t table) bool { return t.Name == name || t.Name == "public."+name })
	}
	q.check = func(name string) error {
		if name != none && db != nil && find(name) < 0 {
			return fmt.Errorf("is not among the tables here: %s", names(all))
		}
		return nil
	}
	name, err := a.ask(ctx, q)
	at := find(name)
	if err != nil || name == none || at < 0 {
		return table{}, err
	}
	return all[at], nil
}

func (a *asker) column(ctx context.Context, t table, name, offer string) (string, error) {
	if a.known[name] == "" && offer != "" {
		return offer, nil // found: not worth a question, since the plan shows it
	}
	return a.ask(ctx, question{name: name, hint: "of " + t.Name + ": " + strings.Join(t.columns(), ", "), check: among(t)})
}

// among checks that columns, by commas, are a table's.
func among(t table) func(string) error {
	return func(list string) error {
		for _, column := range split(list) {
			if !slices.Contains(t.columns(), column) {
				return fmt.Errorf("names %q, which %s does not have", column, t.Name)
			}
		}
		return nil
	}
}

// withKey checks that columns are the table's, and its primary key among them: a deletion
// tells which row by it.
func withKey(t table) func(string) error {
	return func(list string) error {
		for _, id := range t.IDs {
			if !slices.Contains(split(list), id) {
				return fmt.Errorf("must name %q, which is of the primary key of %s", id, t.Name)
			}
		}
		return among(t)(list)
	}
}

func split(list string) (columns []string) {
	for column := range strings.SplitSeq(list, ",") {
		if column = strings.TrimSpace(column); column != "" {
			columns = append(columns, column)
		}
	}
	return columns
}

func names(tables []table) string {
	all := make([]string, len(tables))
	for i, t := range tables {
		all[i] = t.Name
	}
	return strings.Join(all, ", ")
}
