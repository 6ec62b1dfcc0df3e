package main

import (
	"regexp"
	"slices"
	"strings"
)

// What a chat's tables look like. A guess is only ever an offer: it is shown as SQL before
// anything is done.

// The usual names, the most telling first.
func roomColumns() []string {
	return []string{"room_id", "chat_room_id", "chat_id", "conversation_id", "channel_id", "group_id", "thread_id", "dialog_id", "room", "chat", "conversation", "channel"}
}
func userColumns() []string {
	return []string{"user_id", "member_id", "participant_id", "profile_id", "account_id", "author_id", "sender_id", "member", "participant"}
}
func textColumns() []string {
	return []string{"content", "body", "text", "message", "message_text", "msg", "words"}
}
func arrayColumns() []string {
	return []string{"participant_ids", "participants", "member_ids", "members", "user_ids", "users"}
}

// pairs are column names of two users in one row, such as a sender and a recipient.
func pairs() [][2]string {
	return [][2]string{{"sender_id", "recipient_id"}, {"sender_id", "receiver_id"}, {"from_user", "to_user"}, {"from_user_id", "to_user_id"},
		{"from_id", "to_id"}, {"buyer_id", "seller_id"}, {"customer_id", "agent_id"}, {"user1_id", "user2_id"}, {"user_1", "user_2"}, {"user_one", "user_two"}, {"user_one_id", "user_two_id"},
		{"participant1_id", "participant2_id"}, {"participant_1", "participant_2"}, {"user_a_id", "user_b_id"}, {"user_id", "contact_id"}, {"user_id", "friend_id"}, {"user_a", "user_b"}, {"caller_id", "callee_id"}, {"initiator_id", "receiver_id"}, {"requester_id", "addressee_id"}, {"follower_id", "following_id"}}
}

var (
	besides     = regexp.MustCompile(`^(ai|bot|system|draft|scheduled|archived|deleted|old|tmp)_|(^|_)log|audit|notif|template|draft|embedding|history|webhook|email`)
	noMembers   = regexp.MustCompile(`(^|_)(ban|block|mute|invit|request|read|receipt|typing|reaction|presence|contact|message|pin|favorite|follow|subscri|vote|like|star|bookmark|notif|role)`)
	tellMembers = regexp.MustCompile(`participant|member`)
	tellTexts   = regexp.MustCompile(`message|post|comment`)
	tellInvites = regexp.MustCompile(`invit`)
)

var words = regexp.MustCompile(`([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])`)

// plain is a name as most write it: roomId and RoomID are room_id, which Prisma and
// TypeORM do not say.
func plain(name string) string {
	return strings.ToLower(words.ReplaceAllString(name, "${1}${3}_${2}${4}"))
}

// firstOf returns the first of names that is among columns, as the table writes it.
func firstOf(names, columns []string) string {
	for _, name := range names {
		if i := slices.IndexFunc(columns, func(c string) bool { return plain(c) == name }); i >= 0 {
			return columns[i]
		}
	}
	return ""
}

// called: is a column's name, however it is written, one of these?
func called(names []string, column string) bool { return slices.Contains(names, plain(column)) }

// userColumn is the column that names a member: by foreign key, or by its usual name.
func (t table) userColumn() string {
	if name := firstOf(userColumns(), t.columns()); name != "" {
		return name
	}
	for _, c := range t.Columns {
		if t.isUser(c.Name) {
			return c.Name
		}
	}
	return ""
}

// roomColumn is the column that names a row's room, or "". A foreign key to users or to the
// table itself is not one, nor is a column that no row fills. A foreign key to a table of
// rooms comes before a column with the right name alone. If several columns together
// reference a room, none of them is the room's: another tenant may have a room of the same
// number.
func (t table) roomColumn(rooms []string) string {
	pointing := func(name string) bool {
		ref := t.Refs[name]
		return ref != nil && slices.Contains(rooms, ref[0]) && ref[0] != t.Name && !t.isUser(name) && !slices.Contains(t.nulls, name)
	}
	for _, name := range roomColumns() {
		if name = firstOf([]string{name}, t.columns()); name != "" && pointing(name) {
			return name
		}
	}
	if slices.ContainsFunc(t.Keys, func(key foreignKey) bool {
		return len(key.Columns) > 1 && key.Table != t.Name && slices.Contains(rooms, key.Table)
	}) {
		return ""
	}
	for _, name := range t.columns() {
		if pointing(name) {
			return name
		}
	}
	for _, name := range roomColumns() {
		name = firstOf([]string{name}, t.columns())
		if ref := t.Refs[name]; name != "" && !slices.Contains(t.nulls, name) && !t.isUser(name) && (ref == nil || ref[0] != t.Name) {
			return name
		}
	}
	return ""
}

// roomTables are the tables that others point at by a column that is called as a room's,
// from a table of members, or from texts whose columns name no room. A tenant that every
// row names beside its room is no room.
func roomTables(all []table) (rooms []string) {
	for _, t := range all {
		named := slices.ContainsFunc(t.Keys, func(key foreignKey) bool { return key.namesRoom() && key.Table != t.Name })
		for _, key := range t.Keys {
			_, to, _ := strings.Cut(key.Table, ".")
			to = plain(strings.Trim(to, `"`))
			ofTexts := firstOf(roomColumns(), t.columns()) == "" && tellTexts.MatchString(t.base()) && !tellTexts.MatchString(to)
			ofMembers := !named && tellMembers.MatchString(t.base()) && !noMembers.MatchString(t.base())
			if (key.namesRoom() || ofTexts || ofMembers) && key.Table != t.Name && !slices.ContainsFunc(key.Columns, t.isUser) && !isUsers(key.Table) && !slices.Contains(rooms, key.Table) {
				rooms = append(rooms, key.Table)
			}
		}
	}
	return rooms
}

// namesRoom: is one of the key's columns called as a room's?
func (k foreignKey) namesRoom() bool {
	return slices.ContainsFunc(k.Columns, func(name string) bool { return called(roomColumns(), name) })
}

// pairOf returns the two columns that name two users, if the table has such.
func (t table) pairOf() (pair [2]string, ok bool) {
	for _, pair := range pairs() {
		if a, b := firstOf(pair[:1], t.columns()), firstOf(pair[1:], t.columns()); a != "" && b != "" {
			return [2]string{a, b}, true
		}
	}
	return pair, false
}

// likeMessages returns the tables that look like messages, the likeliest first.
func likeMessages(all []table) []table {
	rooms := roomTables(all)
	return ranked(all, func(t table) int {
		_, pair := t.pairOf()
		room := t.roomColumn(rooms)
		if firstOf(textColumns(), t.columns()) == "" && !strings.Contains(t.base(), "message") {
			return 0
		}
		if room == "" && !pair && len(t.roomKey(all, rooms)) == 0 {
			if slices.Contains([]string{"messages", "message", "chat_messages", "chat_message"}, t.base()) {
				return 1 // of one room for everybody
			}
			return 0
		}
		score := 10
		switch base := t.base(); {
		case slices.Contains([]string{"messages", "message", "chat_messages"}, base):
			score += 6
		case strings.Contains(base, "message"):
			score += 4
		case strings.Contains(base, "post") || strings.Contains(base, "chat"):
			score += 2
		}
		if besides.MatchString(t.base()) {
			score -= 7
		}
		if t.Published {
			score += 4
		}
		if ref := t.Refs[room]; ref != nil && slices.Contains(rooms, ref[0]) {
			score += 3
		}
		return score
	})
}

// likeMembers returns the tables that look like who is in which room.
func likeMembers(all []table) []table {
	rooms := roomTables(all)
	return ranked(all, func(t table) int {
		score := 0
		switch {
		case t.arrayColumn() != "", t.isRoomOfTwo(rooms):
			score = 10
		case (t.memberRoom(rooms) != "" || len(t.roomKey(all, rooms)) > 0) && t.userColumn() != "" && firstOf(textColumns(), t.columns()) == "" && !noMembers.MatchString(t.base()):
			score = 10
		default:
			return 0
		}
		if tellMembers.MatchString(t.base()) {
			score += 4
		}
		if t.Published {
			score++
		}
		return score
	})
}

// arrayColumn is the column that holds a room's users: an array of uuids, or what can be
// read as one. Of texts those are no users that are addresses.
func (t table) arrayColumn() string {
	for _, kinds := range [][]string{{"uuid[]"}, {"text[]", "character varying[]", "jsonb"}} {
		var names []string
		for _, c := range t.Columns {
			if slices.Contains(kinds, c.Type) && !slices.Contains(t.addresses, c.Name) {
				names = append(names, c.Name)
			}
		}
		if name := firstOf(arrayColumns(), names); name != "" {
			return name
		}
	}
	return ""
}

// memberRoom is the room's column of a table of members: the table's own key where each
// row is a room.
func (t table) memberRoom(rooms []string) string {
	if t.arrayColumn() != "" && len(t.IDs) == 1 {
		return t.IDs[0]
	}
	return t.roomColumn(rooms)
}

// memberUser is the column of a table of members that names the user, or the users.
func (t table) memberUser() string {
	if name := t.arrayColumn(); name != "" {
		return name
	}
	return t.userColumn()
}

// The names of columns by which members leave though their row stays;
// roomcast.leaving_columns() knows them all.
func leftWhen() []string {
	return []string{"left_at", "removed_at", "deleted_at", "kicked_at", "ended_at", "banned_at", "revoked_at", "exited_at"}
}

func stillThere() []string { return []string{"is_active", "active", "is_member"} }

func hasLeft() []string {
	return []string{"left", "has_left", "removed", "is_removed", "deleted", "is_deleted", "kicked", "is_kicked", "banned", "is_banned"}
}

// activeOf is the condition under which a row makes a member, where members leave, or are
// banned, by an UPDATE: SQL behind an alias. doubt says that there is a column whose values
// only the team knows.
func (t table) activeOf(alias string) (active, doubt string) {
	var all []string
	for _, c := range t.Columns {
		column := alias + quoteIdent(c.Name)
		switch name := plain(c.Name); {
		case slices.Contains(leftWhen(), name) && strings.HasPrefix(c.Type, "timestamp"):
			all = append(all, column+" is null")
		case slices.Contains(stillThere(), name) && c.Type == "boolean":
			all = append(all, column)
		case slices.Contains(hasLeft(), name) && c.Type == "boolean":
			all = append(all, column+" is not true")
		case slices.Contains([]string{"status", "state"}, name):
			if label := firstOf([]string{"active", "accepted", "joined", "approved", "member"}, c.Labels); label != "" {
				all = append(all, column+" = "+quote(label))
			} else {
				doubt = c.Name
			}
		}
	}
	return strings.Join(all, " and "), doubt
}

// ranked keeps the tables with a score above 0, the highest first.
func ranked(all []table, score func(table) int) (found []table) {
	for _, t := range all {
		if score(t) > 0 {
			found = append(found, t)
		}
	}
	slices.SortStableFunc(found, func(a, b table) int { return score(b) - score(a) })
	return found
}

// eventName is what a table's events are called: message_reactions are reactions.
func eventName(t table) string {
	name := strings.Trim(t.base(), "_")
	for _, prefix := range []string{"chat_", "message_", "room_"} {
		name = strings.TrimPrefix(name, prefix)
	}
	switch {
	case strings.HasSuffix(name, "ies"):
		name = strings.TrimSuffix(name, "ies") + "y"
	case strings.HasSuffix(name, "s") && !strings.HasSuffix(name, "ss") && !strings.HasSuffix(name, "us"):
		name = strings.TrimSuffix(name, "s")
	}
	name = strings.Trim(regexp.MustCompile(`[^a-z0-9_-]+`).ReplaceAllString(name, "-"), "-_0123456789")
	switch name {
	case "", "message", "member":
		return "row"
	case "user", "online", "offline": // of members
		return "profile"
	}
	return strings.ReplaceAll(name, "_", "-")
}
