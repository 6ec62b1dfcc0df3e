package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// choice is a table and how it is to be attached.
type choice struct {
	table
	room    string   // column
	user    string   // column, of members
	users   string   // SQL over r, of messages without a room
	active  string   // SQL over r, of members
	place   string   // SQL over r for the room, where it is no column
	apart   string   // column of messages that only some of a room may read
	adds    []string // SQL for what Roomcast needs beside the table's own columns
	added   bool     // is user a column that is added?
	array   bool     // are the users in an array that is added?
	columns []string // that may leave the database
}

// statement is a line of the plan: SQL that is run as it is shown, or a comment.
type statement struct {
	sql     string
	did     string // what is said once it ran
	comment bool
}

// plan is what setup would attach, as SQL.
func plan(want wanted, all []table, attachments []string) (lines []statement) {
	add := func(did, format string, args ...any) {
		lines = append(lines, statement{sql: fmt.Sprintf(format, args...), did: did})
	}
	note := func(format string, args ...any) {
		lines = append(lines, statement{sql: fmt.Sprintf(format, args...), comment: true})
	}
	if m := want.messages; m.Name != "" && m.place != "" {
		add(m.Name+": "+strings.Join(m.columns, ", "), "select roomcast.attach(%s, name => 'message', room => %s,\n  columns => %s);",
			quote(m.Name), quote(m.place), quoteArray(m.columns))
	} else if m.Name != "" && m.users != "" {
		add(m.Name+": "+strings.Join(m.columns, ", "), "select roomcast.attach(%s, name => 'message', users => %s,\n  columns => %s);",
			quote(m.Name), quote(m.users), quoteArray(m.columns))
	} else if m.Name != "" {
		add(m.Name+": "+strings.Join(m.columns, ", "), "select roomcast.attach_messages(%s, room_column => %s,\n  columns => %s);",
			quote(m.Name), quote(m.room), quoteArray(m.columns))
	}
	if m := want.members; m.Name != "" {
		for _, sql := range m.adds {
			add(m.Name+": a column for the relay", "%s", sql)
		}
		active := ""
		if m.active != "" {
			active = ", active => " + quote(m.active)
		}
		add(m.Name+": "+m.room+", "+m.user, "select roomcast.attach_members(%s, room_column => %s, user_column => %s%s);", quote(m.Name), quote(m.room), quote(m.user), active)
		if _, doubt := m.activeOf(""); m.active == "" && doubt != "" {
			note("%s has a column %s: if members leave by it, add for instance active => '%s = ''active'''", m.Name, doubt, doubt)
		}
	}
	if want.messages.Name == "" {
		return lines // what is attached already is left as it is
	}
	p := places{all: all, rooms: roomTables(all), messages: want.messages, members: want.members}
	lines = append(lines, p.notes(want)...)
	if m := want.members; m.Name != "" && m.isArray() && m.Published {
		add(m.Name+" as "+eventName(m.table), "select roomcast.attach(%s, name => %s, users => %s,\n  columns => %s);",
			quote(m.Name), quote(eventName(m.table)), quote("r."+quoteIdent(m.user)), quoteArray(m.shared()))
	}
	for _, t := range all {
		if t.Name != want.messages.Name && t.Name != want.members.Name && !slices.ContainsFunc(attachments, func(a string) bool { return strings.HasPrefix(a, t.Name+" ") }) {
			lines = append(lines, p.line(t)...)
		}
	}
	return lines
}

// line is the plan for a table beside messages and members: run if Supabase Realtime
// listens to it today, else shown as a comment.
func (p places) line(t table) []statement {
	argument, place := p.of(t)
	if place == "" || len(t.IDs) == 0 {
		if t.Published {
			return []statement{{comment: true, sql: t.Name + ": Supabase Realtime listens to it, and nothing tells to which rooms or users its rows belong: select roomcast.attach(…)"}}
		}
		return nil
	}
	columns := t.shared()
	sql := fmt.Sprintf("select roomcast.attach(%s, name => %s, %s => %s,\n  columns => %s);",
		quote(t.Name), quote(eventName(t)), argument, quote(place), quoteArray(columns))
	switch oneLine := strings.ReplaceAll(sql, "\n ", ""); {
	case !t.Published:
		return []statement{{comment: true, sql: "not listened to today: " + oneLine}}
	case argument == "room" && tellInternal.MatchString(t.base()):
		return []statement{{comment: true, sql: t.Name + " looks like what only some of a room may read: give it a room of its own (MOVING.md), or, if all may: " + oneLine}}
	}
	lines := []statement{{sql: sql, did: t.Name + " as " + eventName(t)}}
	if left := t.leftOut(); len(left) > 0 {
		lines = append(lines, statement{comment: true, sql: t.Name + ": left out " + strings.Join(left, ", ") + ": name them if others may see them"})
	}
	if m := p.members; argument == "room" && m.Name != "" && t.Name == p.room() && len(t.IDs) == 1 && m.room != "" && !m.isArray() {
		users := fmt.Sprintf("select m.%s from %s m where m.%s = r.%s", quoteIdent(m.user), m.Name, quoteIdent(m.room), quoteIdent(t.IDs[0]))
		if active, _ := m.activeOf("m."); active != "" && m.active != "" {
			users += " and " + active
		}
		lines = append(lines, statement{comment: true, sql: fmt.Sprintf("if a page lists its user's rooms, INBOX=true, or, at one event a member for each change: select roomcast.attach(%s, name => %s, users => %s);",
			quote(t.Name), quote("listed-"+eventName(t)), quote(users))})
	}
	return lines
}

// isArray: are its users in an array?
func (c choice) isArray() bool { return c.array || strings.HasSuffix(c.typeOf(c.user), "[]") }

// show is the plan as a person reads it.
func show(lines []statement) string {
	var out strings.Builder
	for _, s := range lines {
		if s.comment {
			s.sql = "-- " + strings.ReplaceAll(s.sql, "\n", "\n-- ")
		}
		out.WriteString(s.sql + "\n")
	}
	return out.String()
}

// reserved are the words of SQL that name a column only in quotes.
func reserved() []string {
	return strings.Fields(`all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
		column concurrently constraint create cross current_catalog current_date current_role current_schema current_time
		current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze from
		full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit localtime
		localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references returning right
		select session_user similar some symmetric system_user table tablesample then to trailing true union unique user using
		variadic verbose when where window with`)
}

func quoteIdent(name string) string {
	if plainIdent.MatchString(name) && !slices.Contains(reserved(), name) {
		return name
	}
	return pgx.Identifier{name}.Sanitize()
}

// quote writes a text as a literal. standard_conforming_strings is on since Postgres 9.1.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func quoteArray(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = name
		if !plainIdent.MatchString(name) {
			quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
		}
	}
	return quote("{" + strings.Join(quoted, ",") + "}")
}
