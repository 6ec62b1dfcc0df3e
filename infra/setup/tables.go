package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// table is a table of the chat, and how it is to be attached.
type table struct {
	name    string // as SQL writes it, with its schema
	room    string
	user    string   // of a table of members
	columns []string // of a table found: all; of messages to attach: those that may leave
}

// The usual names, the most telling first.
func roomColumns() []string {
	return []string{"room_id", "chat_room_id", "chat_id", "conversation_id", "channel_id", "thread_id", "group_id", "room"}
}
func userColumns() []string {
	return []string{"user_id", "member_id", "participant_id", "profile_id", "account_id"}
}
func textColumns() []string {
	return []string{"content", "body", "text", "message"}
}

// firstOf returns the first of names that is among columns.
func firstOf(names, columns []string) string {
	for _, name := range names {
		if slices.Contains(columns, name) {
			return name
		}
	}
	return ""
}

// likeMessages returns the tables that look like messages of rooms, the likeliest first.
func likeMessages(all []table) (found []table) {
	for _, t := range all {
		t.room = firstOf(roomColumns(), t.columns)
		if t.room != "" && (strings.Contains(t.name, "message") || firstOf(textColumns(), t.columns) != "") {
			found = append(found, t)
		}
	}
	return ranked(found, "message")
}

// likeMembers returns the tables that look like who is in which room.
func likeMembers(all []table) (found []table) {
	for _, t := range all {
		t.room, t.user = firstOf(roomColumns(), t.columns), firstOf(userColumns(), t.columns)
		if t.room != "" && t.user != "" && !strings.Contains(t.name, "message") && firstOf(textColumns(), t.columns) == "" {
			found = append(found, t)
		}
	}
	return ranked(found, "participant", "member")
}

// ranked puts those first whose names say it; the others stay as they are.
func ranked(tables []table, telling ...string) []table {
	says := func(t table) int {
		if slices.ContainsFunc(telling, func(word string) bool { return strings.Contains(t.name, word) }) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(tables, func(a, b table) int { return says(a) - says(b) })
	return tables
}

// none says that there is no table of members: a team's own can_read decides.
const none = "none"

// askTables asks what is relayed. What is attached already is not asked again.
func askTables(ctx context.Context, a *asker, db *database, want *wanted) error {
	if a.known["MESSAGES_TABLE"] != "" || !db.attached("messages") {
		t, err := a.table(ctx, db, question{name: "MESSAGES_TABLE", hint: "the chat's messages"}, likeMessages)
		if err != nil {
			return err
		}
		want.messages = t
		if t.name != "" {
			room, rerr := a.column(ctx, t, "MESSAGES_ROOM_COLUMN", t.room)
			list, lerr := a.ask(ctx, question{name: "MESSAGES_COLUMNS", hint: "those that may leave the database", offer: strings.Join(t.columns, ","), check: among(t)})
			if err := errors.Join(rerr, lerr); err != nil {
				return err
			}
			want.messages.room, want.messages.columns = room, split(list)
		}
	}
	if a.known["MEMBERS_TABLE"] != "" || !db.attached("members") {
		t, err := a.table(ctx, db, question{name: "MEMBERS_TABLE", hint: "who is in which room; \"none\" if roomcast.can_read is yours"}, likeMembers)
		if err != nil || t.name == "" {
			return err
		}
		room, rerr := a.column(ctx, t, "MEMBERS_ROOM_COLUMN", t.room)
		user, uerr := a.column(ctx, t, "MEMBERS_USER_COLUMN", t.user)
		if err := errors.Join(rerr, uerr); err != nil {
			return err
		}
		want.members = table{name: t.name, room: room, user: user}
	}
	return nil
}

// table asks for a table, offering the likeliest. The answer has its columns.
func (a *asker) table(ctx context.Context, db *database, q question, like func([]table) []table) (table, error) {
	all := db.tables()
	guesses := like(slices.Clone(all))
	if len(guesses) > 0 {
		q.offer = guesses[0].name
	}
	if len(guesses) > 1 && a.known[q.name] == "" {
		fmt.Fprintf(a.out, "  found: %s\n", names(guesses))
	}
	find := func(name string) int {
		return slices.IndexFunc(all, func(t table) bool { return t.name == name || t.name == "public."+name })
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
	t := all[at]
	t.room, t.user = firstOf(roomColumns(), t.columns), firstOf(userColumns(), t.columns)
	return t, nil
}

func (a *asker) column(ctx context.Context, t table, name, offer string) (string, error) {
	if a.known[name] == "" && offer != "" {
		return offer, nil // the usual name: not worth a question
	}
	return a.ask(ctx, question{name: name, hint: "of " + t.name + ": " + strings.Join(t.columns, ", "), check: among(t)})
}

// among checks that columns, by commas, are a table's.
func among(t table) func(string) error {
	return func(list string) error {
		for _, column := range split(list) {
			if !slices.Contains(t.columns, column) {
				return fmt.Errorf("names %q, which %s does not have", column, t.name)
			}
		}
		return nil
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
		all[i] = t.name
	}
	return strings.Join(all, ", ")
}
