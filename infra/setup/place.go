package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// roomKey are the columns by which a row names its room where one does not do: those of a
// foreign key to a table of rooms, in the order of that table's primary key.
func (t table) roomKey(all []table, rooms []string) []string {
	if t.roomColumn(rooms) != "" {
		return nil
	}
	for _, key := range t.Keys {
		i := slices.IndexFunc(all, func(room table) bool { return room.Name == key.Table })
		if i < 0 || len(key.Columns) < 2 || key.Table == t.Name || !slices.Contains(rooms, key.Table) {
			continue
		}
		var columns []string
		for _, id := range all[i].IDs {
			if at := slices.Index(key.To, id); at >= 0 {
				columns = append(columns, key.Columns[at])
			}
		}
		if len(columns) == len(key.Columns) {
			return columns
		}
	}
	return nil
}

// plainType is a type whose text has no slash.
var plainType = regexp.MustCompile(`^(uuid|smallint|integer|bigint|boolean|date)$`)

func (t table) typeOf(name string) string {
	if at := slices.IndexFunc(t.Columns, func(c column) bool { return c.Name == name }); at >= 0 {
		return t.Columns[at].Type
	}
	return ""
}

// keyText is SQL for several columns as one text, which no other values have: of those
// that could hold a slash all but the last say how long they are.
func (t table) keyText(alias string, columns []string) string {
	parts, last := make([]string, len(columns)), -1
	for i := len(columns) - 1; i >= 0; i-- {
		parts[i] = alias + quoteIdent(columns[i])
		kind := t.typeOf(columns[i])
		if kind != "text" {
			parts[i] += "::text"
		}
		switch {
		case plainType.MatchString(kind):
		case last < 0:
			last = i
		default:
			parts[i] = fmt.Sprintf("length(%[1]s)::text || ':' || %[1]s", parts[i])
		}
	}
	return strings.Join(parts, " || '/' || ")
}

// isRoomOfTwo: is it a table of rooms whose rows name their two users?
func (t table) isRoomOfTwo(rooms []string) bool {
	_, pair := t.pairOf()
	return pair && slices.Contains(rooms, t.Name) && len(t.IDs) == 1
}

// userRefs are the columns that point at users; else the one that is called so.
func (t table) userRefs() (names []string) {
	for _, c := range t.Columns {
		if t.isUser(c.Name) {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		if name := t.userColumn(); name != "" {
			names = []string{name}
		}
	}
	return names
}

// places finds out where rows of other tables go.
type places struct {
	all               []table
	rooms             []string
	messages, members choice
}

// room is the table of the messages' rooms, or "". Its keys alone are rooms as they are:
// the same number of another table is another thing, which other people may see.
func (p places) room() string {
	if name := p.messages.roomTable(p.rooms); name != "" || p.members.Name == "" {
		return name
	}
	return p.members.roomTable(p.rooms)
}

func (p places) find(name string) (table, bool) {
	i := slices.IndexFunc(p.all, func(x table) bool { return x.Name == name })
	if i < 0 {
		return table{}, false
	}
	return p.all[i], true
}

// of is a room's columns, a look-up over what the row belongs to, or users. Empty if there
// is no way to tell.
func (p places) of(t table) (argument, sql string) {
	pair, isPair := t.pairOf()
	switch users := t.userRefs(); {
	case tellInvites.MatchString(t.base()) && len(users) > 0: // who is invited is no member yet
		return "users", t.usersOf("r.", users)
	case t.Name == p.room() && len(t.IDs) > 0:
		return "room", p.key(t, "r.", t.IDs)
	case isUsers(t.Name) && p.members.Name != "" && p.members.room != "" && len(t.IDs) == 1:
		return "room", p.roomsOf(t)
	}
	if argument, sql := p.own(t, "r."); sql != "" {
		return argument, sql
	}
	if argument, sql := p.lookUp(t, p.own); sql != "" {
		return argument, sql
	}
	if isPair {
		return "users", t.usersOf("r.", pair[:])
	}
	if sql := p.another(t, "r."); sql != "" {
		return "room", sql
	}
	if argument, sql := p.lookUp(t, p.besides); sql != "" {
		return argument, sql
	}
	if user := t.userColumn(); user != "" {
		return "users", t.uuidOf("r.", user)
	}
	return "", ""
}

var ofRow = regexp.MustCompile(`\br\.`)

// own is where the row itself says that it belongs: one of the messages' rooms, or, of a
// message without a room, its users.
func (p places) own(t table, alias string) (argument, sql string) {
	if t.Name == p.messages.Name && (p.messages.place != "" || p.messages.users != "") {
		if p.messages.place != "" {
			return "room", ofRow.ReplaceAllLiteralString(p.messages.place, alias)
		}
		return "users", ofRow.ReplaceAllLiteralString(p.messages.users, alias)
	}
	rooms := p.rooms
	if name := p.room(); name != "" {
		rooms = []string{name}
	}
	if room := t.roomColumn(rooms); room != "" {
		ref := t.Refs[room]
		if ref != nil && ref[0] == p.room() || p.messages.room != "" && plain(room) == plain(p.messages.room) && (ref == nil || p.room() == "") {
			return "room", alias + quoteIdent(room)
		}
	}
	if key := t.roomKey(p.all, rooms); len(key) > 0 && p.room() != "" {
		return "room", t.keyText(alias, key)
	}
	return "", ""
}

// another is the room of another kind that a row is, or names.
func (p places) another(t table, alias string) string {
	if slices.Contains(p.rooms, t.Name) && len(t.IDs) > 0 {
		return t.among(alias, t.IDs)
	}
	if name := t.roomColumn(p.rooms); t.Refs[name] != nil {
		if room, ok := p.find(t.Refs[name][0]); ok && slices.Contains(p.rooms, room.Name) {
			return t.as(room, alias, name)
		}
	}
	return ""
}

// among is the room that a row of a table beside the messages' rooms is: with the table's
// name before it, unless nothing else can have this key.
func (t table) among(alias string, key []string) string {
	if len(key) == 1 && t.typeOf(key[0]) == "uuid" {
		return alias + quoteIdent(key[0])
	}
	return quote(t.base()+"/") + " || " + t.keyText(alias, key)
}

// as is among for a row that names the room.
func (t table) as(room table, alias, column string) string {
	if t.typeOf(column) == "uuid" {
		return alias + quoteIdent(column)
	}
	return quote(room.base()+"/") + " || " + t.keyText(alias, []string{column})
}

// besides is where a row belongs that is of none of the messages' rooms.
func (p places) besides(t table, alias string) (argument, sql string) {
	if pair, ok := t.pairOf(); ok {
		return "users", t.usersOf(alias, pair[:])
	}
	if sql := p.another(t, alias); sql != "" {
		return "room", sql
	}
	return "", ""
}

func (p places) key(t table, alias string, columns []string) string {
	if len(columns) == 1 {
		return alias + quoteIdent(columns[0])
	}
	return t.keyText(alias, columns)
}

// roomsOf: every room that a user, a row of this table, is in.
func (p places) roomsOf(users table) string {
	m, key := p.members, quoteIdent(users.IDs[0])
	is := fmt.Sprintf("m.%s = r.%s", quoteIdent(m.user), key)
	if m.added {
		if own, mapped := users.identity(users.IDs[0]); mapped && own != "" {
			key = quoteIdent(own)
			is = fmt.Sprintf("m.%s = r.%s", quoteIdent(m.user), key)
		}
	}
	if m.isArray() {
		is = fmt.Sprintf("r.%s = any (m.%s)", key, quoteIdent(m.user))
	}
	if active, _ := m.activeOf("m."); active != "" && m.active != "" {
		is += " and " + active
	}
	return fmt.Sprintf("array(select m.%s from %s m where %s)", quoteIdent(m.room), m.Name, is)
}

// furthest is how many tables a look-up goes through at most.
const furthest = 3

// lookUp follows foreign keys to what has a place, the nearest first.
func (p places) lookUp(t table, place func(table, string) (string, string)) (argument, sql string) {
	type way struct {
		at   table
		from string // FROM and the way back to r
		on   string
	}
	ways := []way{{at: t}}
	for step := range furthest {
		var next []way
		for _, w := range ways {
			for _, key := range p.keys(w.at) {
				to, known := p.find(key.Table)
				if !known || key.Table == t.Name || key.Table == w.at.Name || slices.ContainsFunc(key.Columns, w.at.isUser) {
					continue
				}
				alias := fmt.Sprintf("t%d", step+1)
				on := joinOn(alias, key, fmt.Sprintf("t%d", step), step == 0)
				if step == 0 {
					next = append(next, way{to, to.Name + " " + alias, on})
				} else {
					next = append(next, way{to, w.from + fmt.Sprintf(" join %s %s on %s", to.Name, alias, on), w.on})
				}
			}
		}
		for _, w := range next {
			argument, sql := place(w.at, fmt.Sprintf("t%d.", step+1))
			if argument == "users" {
				sql = "unnest(" + sql + ")"
			}
			if sql != "" {
				return argument, named(fmt.Sprintf("select %s from %s where %s", sql, w.from, w.on), step+1)
			}
		}
		ways = next
	}
	return "", ""
}

// keys are a table's foreign keys, and the column that is called as one to the messages,
// which partitions of theirs cannot have.
func (p places) keys(t table) []foreignKey {
	keys := t.Keys
	m := p.messages
	column := firstOf([]string{"message_id", strings.TrimSuffix(m.base(), "s") + "_id"}, t.columns())
	if id := firstOf([]string{"id"}, m.IDs); m.Name != "" && t.Name != m.Name && column != "" && t.Refs[column] == nil && id != "" && m.typeOf(id) == t.typeOf(column) &&
		!slices.ContainsFunc(t.Keys, func(k foreignKey) bool { return slices.Contains(k.Columns, column) }) {
		keys = append(slices.Clone(keys), foreignKey{Columns: []string{column}, Table: m.Name, To: []string{id}})
	}
	return keys
}

func joinOn(alias string, key foreignKey, before string, first bool) string {
	if first {
		before = "r"
	}
	parts := make([]string, len(key.Columns))
	for i, name := range key.Columns {
		parts[i] = fmt.Sprintf("%s.%s = %s.%s", alias, quoteIdent(key.To[i]), before, quoteIdent(name))
	}
	return strings.Join(parts, " and ")
}

// named gives the tables of a look-up the names that a person would: m the last, a and b
// those before.
func named(sql string, steps int) string {
	sql = regexp.MustCompile(fmt.Sprintf(`\bt%d\b`, steps)).ReplaceAllString(sql, "m")
	sql = regexp.MustCompile(`\bt1\b`).ReplaceAllString(sql, "a")
	return regexp.MustCompile(`\bt2\b`).ReplaceAllString(sql, "b")
}

func arrayOf(alias string, columns []string) string {
	parts := make([]string, len(columns))
	for i, name := range columns {
		parts[i] = alias + quoteIdent(name)
	}
	return "array[" + strings.Join(parts, ", ") + "]"
}
