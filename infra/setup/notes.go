package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	tellInternal = regexp.MustCompile(`(^|_)(internal|staff|admin|moderat|report|secret|private)|(^|_)notes?$`)
	tellSecrets  = regexp.MustCompile(`(^|_)(password|passwd|secret|tokens?|apikey|api_key|private_key|hash|salt|otp|ssn|iban|ip|ip_address)(_|$)`)
	tellFormer   = regexp.MustCompile(`^(old|former|previous|prev|original)(_|$)`)
	tellPersonal = regexp.MustCompile(`(^|_)(e?mail|phone|birth|address)`)
)

// shared are the columns that may leave the database as far as their names tell; leftOut
// are the others. What identifies a row always goes.
func (t table) shared() []string {
	left := t.leftOut()
	return slices.DeleteFunc(t.columns(), func(name string) bool { return slices.Contains(left, name) })
}

func (t table) leftOut() (names []string) {
	for _, name := range t.columns() {
		secret := tellSecrets.MatchString(plain(name)) || isUsers(t.Name) && tellPersonal.MatchString(plain(name)) || tellFormer.MatchString(plain(name))
		if secret && !slices.Contains(t.IDs, name) {
			names = append(names, name)
		}
	}
	return names
}

// notes are what the plan cannot decide: who may read, where tables of members do not say
// so, or say it by another id than tokens have.
func (p places) notes(want wanted) (lines []statement) {
	note := func(format string, args ...any) {
		lines = append(lines, statement{sql: fmt.Sprintf(format, args...), comment: true})
	}
	messages, members := want.messages, want.members
	if left := messages.leftOut(); len(left) > 0 && !slices.ContainsFunc(left, func(name string) bool { return slices.Contains(messages.columns, name) }) {
		note("%s: left out %s: name them if others may see them", messages.Name, strings.Join(left, ", "))
	}
	if messages.apart != "" {
		note("rows with %s go to rooms of their own, such as 7/internal, which nobody may read until roomcast.can_read says who (MOVING.md, Rows that only some of a room may read)", messages.apart)
	}
	if pair, ok := messages.pairOf(); ok && messages.users != "" && !messages.isUUID(pair[0]) {
		note("%s.%s is %s: users are known by the uuid of auth.users, as their tokens have it; who has another id hears nothing", messages.Name, pair[0], messages.typeOf(pair[0]))
	}
	if members.Name == "" && messages.users == "" && !want.hasMembers {
		switch name := p.listed(); {
		case messages.place == quote("everybody"):
			note("one room for everybody, whom nothing in the schema names: let them read it:\n%s", canRead("can_read.room = 'everybody'"))
		case name != "":
			room, _ := p.find(p.room())
			note("%s names its users by e-mail: the token's address then says who may read, and who is taken out of a list is not disconnected by itself:\n%s", room.Name,
				canRead(fmt.Sprintf("exists (select from %s c where c.%s::text = can_read.room and c.%s @> %s)", room.Name, quoteIdent(room.IDs[0]), quoteIdent(name), room.oneOf(name))))
		default:
			note("no table says who is in a room of %s: nobody may read one until roomcast.can_read does (infra/supabase/README.md)", messages.Name)
		}
	}
	if members.Name != "" && !members.added && !members.isUUID(members.user) {
		note("%s.%s is %s: users are known by the uuid of auth.users, as their tokens have it; who has another id (Clerk, Auth0, a number) is nobody's member", members.Name, members.user, members.typeOf(members.user))
	}
	return append(lines, p.parents()...)
}

// listed is the column by which a table of rooms lists its users' addresses.
func (p places) listed() string {
	room, ok := p.find(p.room())
	if !ok || len(room.addresses) == 0 || len(room.IDs) != 1 {
		return ""
	}
	return room.addresses[0]
}

// oneOf is the token's address, as a list of one of the column's type.
func (t table) oneOf(column string) string {
	if t.typeOf(column) == "jsonb" {
		return "jsonb_build_array(claims -> 'email')"
	}
	return fmt.Sprintf("array[claims ->> 'email']::%s", t.typeOf(column))
}

// isUUID: does a column, or what it leads to, hold uuids?
func (t table) isUUID(column string) bool {
	return t.people[column].uuid != "" || strings.TrimSuffix(t.typeOf(column), "[]") == "uuid"
}

func canRead(condition string) string {
	return fmt.Sprintf(`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select roomcast.is_member(can_read.room, can_read.user_id)
      or %s
$$;`, condition)
}

// parents: rooms that belong to something that has members, such as a workspace's channels.
// Whether each of those may read each room the team has to say.
func (p places) parents() (lines []statement) {
	room, ok := p.find(p.room())
	if !ok || len(room.IDs) != 1 {
		return nil
	}
	for column, ref := range room.Refs {
		parent, ok := p.find(ref[0])
		if !ok || room.isUser(column) {
			continue
		}
		for _, t := range p.all {
			m := choice{table: t, room: t.roomColumn([]string{parent.Name}), user: t.userColumn()}
			if ref := t.Refs[m.room]; ref == nil || ref[0] != parent.Name || m.user == "" || t.Name == p.members.Name || t.Name == p.messages.Name || t.Name == room.Name ||
				noMembers.MatchString(t.base()) || firstOf(textColumns(), t.columns()) != "" {
				continue
			}
			lines = append(lines, statement{comment: true, sql: fmt.Sprintf("%s says who is in %s, to which rooms of %s belong. If each of them may read these:\n%s",
				t.Name, parent.Name, room.Name, p.parent(room, column, parent, m))})
			break
		}
	}
	return lines
}

// parent is SQL that lets the members of what rooms belong to read these rooms.
func (p places) parent(room table, column string, parent table, m choice) string {
	var sql []string
	of := room.as(parent, "c.", column)
	if m.typeOf(m.room) != "uuid" {
		own := m.room
		m.room = m.unused("room", "room_key")
		sql = append(sql, fmt.Sprintf("alter table %s add column %s text generated always as (%s) stored;", m.Name, m.room, m.as(parent, "", own)))
	} else {
		of += "::text"
	}
	if m.people[m.user].uuid != "" {
		from := m.user
		m.user = m.unused("member_uuid", "roomcast_user")
		sql = append(sql, m.filled(m.user, "uuid", from)...)
	}
	active, _ := m.activeOf("")
	if active != "" {
		active = ", active => " + quote(active)
	}
	sql = append(sql,
		fmt.Sprintf("create index on %s (%s, %s);", m.Name, quoteIdent(m.room), quoteIdent(m.user)),
		fmt.Sprintf("create index on %s ((%s::text));", room.Name, quoteIdent(room.IDs[0])),
		fmt.Sprintf("select roomcast.attach_members(%s, room_column => %s, user_column => %s%s);", quote(m.Name), quote(m.room), quote(m.user), active),
		canRead(fmt.Sprintf("exists (select from %s c where c.%s::text = can_read.room and roomcast.is_member(%s, can_read.user_id))", room.Name, quoteIdent(room.IDs[0]), of)))
	return strings.Join(sql, "\n")
}
