package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// person is how a column that points at users leads to the uuid that their tokens carry.
type person struct {
	table, key string // what the column points at
	uuid       string // the column there that holds the token's; empty where the pointer itself does
}

var userTables = regexp.MustCompile(`^(profiles?|users?|accounts|(user|app|chat)_(profiles?|users?))$`)

// isUsers: is a table one of users, by its name?
func isUsers(name string) bool {
	return name == "auth.users" || userTables.MatchString(table{Name: name}.base())
}

// isUser: does a column point at a user?
func (t table) isUser(column string) bool {
	_, is := t.people[column]
	return is
}

// findPeople finds the columns that point at users: at auth.users, at a table that is called
// so, or at one that leads on to auth.users, as the members of a workspace do.
func findPeople(all []table) {
	for i := range all {
		t := &all[i]
		t.people = map[string]person{}
		for column, ref := range t.Refs {
			at := slices.IndexFunc(all, func(x table) bool { return x.Name == ref[0] })
			if at < 0 {
				if isUsers(ref[0]) {
					t.people[column] = person{table: ref[0], key: ref[1]}
				}
				continue
			}
			uuid, leads := all[at].identity(ref[1])
			if (leads || isUsers(ref[0])) && ref[0] != t.Name {
				t.people[column] = person{ref[0], ref[1], uuid}
			}
		}
	}
}

// identity says whether rows that are found by a key are users, and which column holds the
// id of auth.users where the key does not.
func (t table) identity(key string) (column string, ok bool) {
	if ref := t.Refs[key]; ref != nil && ref[0] == "auth.users" {
		return "", true
	}
	named := []string{"auth_id", "auth_user_id", "auth_uid", "auth_user", "supabase_id", "supabase_user_id", "supabase_uid", "auth_uuid"}
	if isUsers(t.Name) || tellMembers.MatchString(t.base()) {
		named = append(named, "user_id", "uid", "user_uuid", "uuid")
	}
	for _, c := range t.Columns {
		if ref := t.Refs[c.Name]; c.Name != key && c.Type == "uuid" && called(named, c.Name) && (ref == nil || ref[0] == "auth.users") {
			return c.Name, true
		}
	}
	return "", false
}

// uuidOf is SQL for the uuid of the user whom a column names.
func (t table) uuidOf(alias, column string) string {
	p := t.people[column]
	if p.uuid == "" {
		return alias + quoteIdent(column)
	}
	return fmt.Sprintf("(select u.%s from %s u where u.%s = %s%s)", quoteIdent(p.uuid), p.table, quoteIdent(p.key), alias, quoteIdent(column))
}

// usersOf is SQL for the array of the users in these columns.
func (t table) usersOf(alias string, columns []string) string {
	parts := make([]string, len(columns))
	for i, name := range columns {
		parts[i] = t.uuidOf(alias, name)
	}
	return "array[" + strings.Join(parts, ", ") + "]"
}
