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

// settledText is a type whose text has no slash.
var settledText = regexp.MustCompile(`^(uuid|smallint|integer|bigint|boolean|date)$`)

// keyText is SQL for several columns as one text, which no other values have: of those
// that could hold a slash all but the last say how long they are.
func (t table) keyText(alias string, columns []string) string {
	parts, last := make([]string, len(columns)), -1
	for i := len(columns) - 1; i >= 0; i-- {
		at := slices.IndexFunc(t.Columns, func(c column) bool { return c.Name == columns[i] })
		parts[i] = alias + quoteIdent(columns[i])
		kind := t.Columns[at].Type
		if kind != "text" {
			parts[i] += "::text"
		}
		switch {
		case settledText.MatchString(kind):
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
		if ref := t.Refs[c.Name]; ref != nil && userTables.MatchString(ref[0]) {
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

// of is a room's columns, a look-up over what the row belongs to, or users. Empty if there
// is no way to tell.
func (p places) of(t table) (argument, sql string) {
	pair, isPair := t.pairOf()
	switch users := t.userRefs(); {
	case tellInvites.MatchString(t.base()) && len(users) > 0: // who is invited is no member yet
		return "users", arrayOf("r.", users)
	case slices.Contains(p.rooms, t.Name) && len(t.IDs) > 0:
		return "room", p.key(t, "r.", t.IDs)
	case userTables.MatchString(t.Name) && p.members.Name != "" && p.members.room != "" && len(t.IDs) == 1:
		return "room", p.roomsOf(t.IDs[0])
	}
	if sql, isRoom := p.own(t, "r."); isRoom {
		return "room", sql
	}
	if argument, sql := p.lookUp(t); sql != "" {
		return argument, sql
	}
	if isPair {
		return "users", arrayOf("r.", pair[:])
	}
	if user := t.userColumn(); user != "" {
		return "users", "r." + quoteIdent(user)
	}
	return "", ""
}

// own is the room that the row itself names.
func (p places) own(t table, alias string) (sql string, ok bool) {
	if room := t.roomColumn(p.rooms); room != "" {
		return alias + quoteIdent(room), true
	}
	if key := t.roomKey(p.all, p.rooms); len(key) > 0 {
		return t.keyText(alias, key), true
	}
	return "", false
}

func (p places) key(t table, alias string, columns []string) string {
	if len(columns) == 1 {
		return alias + quoteIdent(columns[0])
	}
	return t.keyText(alias, columns)
}

// roomsOf: every room that a user is in.
func (p places) roomsOf(user string) string {
	is := fmt.Sprintf("m.%s = r.%s", quoteIdent(p.members.user), quoteIdent(user))
	if p.members.isArray() {
		is = fmt.Sprintf("r.%s = any (m.%s)", quoteIdent(user), quoteIdent(p.members.user))
	}
	active := p.members.active
	if active != "" {
		active = " and m." + strings.TrimPrefix(active, "not ")
		if strings.HasPrefix(p.members.active, "not ") {
			active = " and not" + strings.TrimPrefix(active, " and")
		}
	}
	return fmt.Sprintf("array(select m.%s from %s m where %s%s)", quoteIdent(p.members.room), p.members.Name, is, active)
}

// furthest is how many tables a look-up goes through at most.
const furthest = 3

// lookUp follows foreign keys to what has a place, the nearest first.
func (p places) lookUp(t table) (argument, sql string) {
	type way struct {
		at   table
		from string // FROM and the way back to r
		on   string
	}
	ways := []way{{at: t}}
	for step := range furthest {
		var next []way
		for _, w := range ways {
			for _, key := range w.at.Keys {
				i := slices.IndexFunc(p.all, func(x table) bool { return x.Name == key.Table })
				if i < 0 || key.Table == t.Name || key.Table == w.at.Name || userTables.MatchString(key.Table) {
					continue
				}
				to, alias := p.all[i], fmt.Sprintf("t%d", step+1)
				on := joinOn(alias, key, fmt.Sprintf("t%d", step), step == 0)
				if step == 0 {
					next = append(next, way{to, to.Name + " " + alias, on})
				} else {
					next = append(next, way{to, w.from + fmt.Sprintf(" join %s %s on %s", to.Name, alias, on), w.on})
				}
			}
		}
		for _, w := range next {
			alias := fmt.Sprintf("t%d.", step+1)
			if place, ok := p.own(w.at, alias); ok {
				return "room", named(fmt.Sprintf("select %s from %s where %s", place, w.from, w.on), step+1)
			}
			if w.at.Name == p.messages.Name && p.messages.users != "" {
				return "users", named(fmt.Sprintf("select unnest(%s) from %s where %s", strings.ReplaceAll(p.messages.users, "r.", alias), w.from, w.on), step+1)
			}
		}
		ways = next
	}
	return "", ""
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
