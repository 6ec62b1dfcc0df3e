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
	var rerr error
	if m.users == "" {
		m.room, rerr = a.column(ctx, t, "MESSAGES_ROOM_COLUMN", m.room)
	}
	list, lerr := a.ask(ctx, question{name: "MESSAGES_COLUMNS", hint: "those that may leave the database", offer: strings.Join(t.columns(), ","), check: among(t)})
	m.columns = split(list)
	want.messages = m
	return errors.Join(rerr, lerr)
}

func askMembers(ctx context.Context, a *asker, db *database, want *wanted) error {
	q := question{name: "MEMBERS_TABLE", hint: "who is in which room; \"none\" if roomcast.can_read is yours"}
	if want.messages.users != "" {
		q.offer = none // a message goes to its two users: there are no rooms to be a member of
	}
	t, err := a.table(ctx, db, q, likeMembers)
	if err != nil || t.Name == "" {
		return err
	}
	room, rerr := a.column(ctx, t, "MEMBERS_ROOM_COLUMN", t.memberRoom(roomTables(db.tables())))
	user, uerr := a.column(ctx, t, "MEMBERS_USER_COLUMN", t.memberUser())
	active, _ := t.activeOf()
	if known := a.known["MEMBERS_ACTIVE"]; known != "" {
		active = known
	}
	want.members = choice{table: t, room: room, user: user, active: active}
	return errors.Join(rerr, uerr)
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
