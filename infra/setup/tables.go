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
	m := choice{table: t, room: t.roomColumn(roomTables(db.tables()))}
	if pair, ok := t.pairOf(); ok && m.room == "" && a.known["MESSAGES_ROOM_COLUMN"] == "" {
		m.users = fmt.Sprintf("array[r.%s, r.%s]", quoteIdent(pair[0]), quoteIdent(pair[1]))
	}
	if key := t.roomKey(db.tables(), roomTables(db.tables())); len(key) > 0 && a.known["MESSAGES_ROOM_COLUMN"] == "" {
		m.users, m.place = "", t.keyText("r.", key)
	}
	var rerr error
	if m.users == "" && m.place == "" {
		m.room, rerr = a.column(ctx, t, "MESSAGES_ROOM_COLUMN", m.room)
	}
	list, lerr := a.ask(ctx, question{name: "MESSAGES_COLUMNS", hint: "those that may leave the database", offer: strings.Join(t.columns(), ","), check: withKey(t)})
	m.columns = split(list)
	want.messages = m
	return errors.Join(rerr, lerr)
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
	if m.adds == "" || a.known["MEMBERS_ROOM_COLUMN"] != "" || a.known["MEMBERS_USER_COLUMN"] != "" {
		m.adds = ""
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

// The columns that a plan may add.
const (
	addedRoom  = "room"
	addedUsers = "participants"
)

// memberChoice is how a table of members is attached. attach_members takes one column for
// the room and one for the users: where there are several, the plan adds a generated one.
func memberChoice(t table, all []table) choice {
	m := choice{table: t, room: t.memberRoom(roomTables(all)), user: t.memberUser()}
	m.active, _ = t.activeOf()
	pair, _ := t.pairOf()
	switch key := t.roomKey(all, roomTables(all)); {
	case t.isRoomOfTwo(roomTables(all)) && len(t.arrays()) == 0:
		m.room, m.user = t.IDs[0], addedUsers
		m.adds = fmt.Sprintf("alter table %s add column %s uuid[] generated always as (%s) stored;", t.Name, addedUsers, arrayOf("", pair[:]))
	case len(key) > 0 && t.memberRoom(roomTables(all)) == "":
		m.room = addedRoom
		m.adds = fmt.Sprintf("alter table %[1]s add column %[2]s text generated always as (%[3]s) stored;\ncreate index on %[1]s (%[2]s, %[4]s);",
			t.Name, addedRoom, t.keyText("", key), quoteIdent(m.user))
	}
	return m
}

// ofSameRooms leaves out who is a member of something else than the messages' rooms.
func ofSameRooms(members []table, messages choice, all []table) []table {
	rooms := roomTables(all)
	room := messages.roomTable(rooms)
	return slices.DeleteFunc(slices.Clone(members), func(t table) bool {
		other := choice{table: t, room: t.memberRoom(rooms)}.roomTable(rooms)
		if t.isRoomOfTwo(rooms) || len(t.arrays()) > 0 { // a row is a room, and names its users
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
