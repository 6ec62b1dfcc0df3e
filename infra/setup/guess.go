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
	return []string{"room_id", "chat_room_id", "chat_id", "conversation_id", "channel_id", "group_id", "thread_id", "dialog_id", "room"}
}
func userColumns() []string {
	return []string{"user_id", "member_id", "participant_id", "profile_id", "account_id", "author_id", "sender_id", "member", "participant"}
}
func textColumns() []string {
	return []string{"content", "body", "text", "message", "words"}
}
func arrayColumns() []string {
	return []string{"participant_ids", "participants", "member_ids", "members", "user_ids", "users"}
}

// pairs are two users in one row: who wrote to whom, who knows whom.
func pairs() [][2]string {
	return [][2]string{{"sender_id", "recipient_id"}, {"sender_id", "receiver_id"}, {"from_user", "to_user"}, {"from_user_id", "to_user_id"},
		{"from_id", "to_id"}, {"buyer_id", "seller_id"}, {"customer_id", "agent_id"}, {"user1_id", "user2_id"}, {"user_1", "user_2"}, {"user_one", "user_two"}, {"user_one_id", "user_two_id"},
		{"participant1_id", "participant2_id"}, {"participant_1", "participant_2"}, {"user_a_id", "user_b_id"}, {"user_id", "contact_id"}, {"user_id", "friend_id"}, {"user_a", "user_b"}, {"requester_id", "addressee_id"}, {"follower_id", "following_id"}}
}

var (
	besides     = regexp.MustCompile(`^(ai|bot|system|draft|scheduled|archived|deleted|old|tmp)_|log|audit|notif|template|draft|embedding|history|webhook|email`)
	noMembers   = regexp.MustCompile(`ban|block|mute|invit|request|read|receipt|typing|reaction|presence|contact|message|pin|favorite|follow|subscri|vote|like|star|bookmark|notif`)
	userTables  = regexp.MustCompile(`(^auth\.users|\.(profiles|users|accounts))$`)
	tellMembers = regexp.MustCompile(`participant|member`)
	tellTexts   = regexp.MustCompile(`message|post|comment`)
	tellInvites = regexp.MustCompile(`invit`)
)

// firstOf returns the first of names that is among columns.
func firstOf(names, columns []string) string {
	for _, name := range names {
		if slices.Contains(columns, name) {
			return name
		}
	}
	return ""
}

// userColumn is the column that names a member: by foreign key, or by its usual name.
func (t table) userColumn() string {
	if name := firstOf(userColumns(), t.columns()); name != "" {
		return name
	}
	for _, c := range t.Columns {
		if ref := t.Refs[c.Name]; ref != nil && userTables.MatchString(ref[0]) {
			return c.Name
		}
	}
	return ""
}

// roomColumn is the column that names a row's room, or "". What points at users or at the
// table itself is none, nor is what no row fills. What points at a table of rooms counts
// before what is only called so.
func (t table) roomColumn(rooms []string) string {
	fits := func(name string) bool {
		ref := t.Refs[name]
		return !slices.Contains(t.nulls, name) && (ref == nil || ref[0] != t.Name && !userTables.MatchString(ref[0]))
	}
	pointing := func(name string) bool {
		ref := t.Refs[name]
		return ref != nil && slices.Contains(rooms, ref[0]) && fits(name)
	}
	for _, name := range append(roomColumns(), t.columns()...) {
		if pointing(name) {
			return name
		}
	}
	for _, name := range roomColumns() {
		if slices.Contains(t.columns(), name) && fits(name) {
			return name
		}
	}
	return ""
}

// roomTables are the tables that others point at by a column that is called as a room's,
// from a table of members, or from texts whose columns name no room.
func roomTables(all []table) (rooms []string) {
	for _, t := range all {
		for _, key := range t.Keys {
			_, to, _ := strings.Cut(key.Table, ".")
			called := len(key.Columns) == 1 && slices.Contains(roomColumns(), key.Columns[0])
			ofTexts := firstOf(roomColumns(), t.columns()) == "" && tellTexts.MatchString(t.base()) && !tellTexts.MatchString(to)
			if (called || ofTexts || tellMembers.MatchString(t.base())) && key.Table != t.Name && !userTables.MatchString(key.Table) && !slices.Contains(rooms, key.Table) {
				rooms = append(rooms, key.Table)
			}
		}
	}
	return rooms
}

// pairOf returns the two columns that name two users, if the table has such.
func (t table) pairOf() (pair [2]string, ok bool) {
	for _, pair := range pairs() {
		if slices.Contains(t.columns(), pair[0]) && slices.Contains(t.columns(), pair[1]) {
			return pair, true
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
		if room == "" && !pair && len(t.roomKey(all, rooms)) == 0 || firstOf(textColumns(), t.columns()) == "" && !strings.Contains(t.base(), "message") {
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
		case firstOf(arrayColumns(), t.arrays()) != "", t.isRoomOfTwo(rooms):
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

// arrays are the columns that hold arrays of uuids.
func (t table) arrays() (names []string) {
	for _, c := range t.Columns {
		if c.Type == "uuid[]" {
			names = append(names, c.Name)
		}
	}
	return names
}

// memberRoom is the room's column of a table of members: the table's own key where each
// row is a room.
func (t table) memberRoom(rooms []string) string {
	if firstOf(arrayColumns(), t.arrays()) != "" && len(t.IDs) == 1 {
		return t.IDs[0]
	}
	return t.roomColumn(rooms)
}

// memberUser is the column of a table of members that names the user, or the users.
func (t table) memberUser() string {
	if name := firstOf(arrayColumns(), t.arrays()); name != "" {
		return name
	}
	return t.userColumn()
}

// activeOf is the condition under which a row makes a member, where members leave by an
// UPDATE; doubt says that there is a column whose values only the team knows.
func (t table) activeOf() (active, doubt string) {
	for _, c := range t.Columns {
		switch {
		case slices.Contains([]string{"left_at", "removed_at", "deleted_at", "kicked_at", "ended_at"}, c.Name) && strings.HasPrefix(c.Type, "timestamp"):
			return quoteIdent(c.Name) + " is null", ""
		case slices.Contains([]string{"is_active", "active", "is_member"}, c.Name) && c.Type == "boolean":
			return quoteIdent(c.Name), ""
		case slices.Contains([]string{"has_left", "removed", "is_deleted"}, c.Name) && c.Type == "boolean":
			return "not " + quoteIdent(c.Name), ""
		case slices.Contains([]string{"status", "state"}, c.Name):
			if label := firstOf([]string{"active", "accepted", "joined", "approved", "member"}, c.Labels); label != "" {
				return quoteIdent(c.Name) + " = " + quote(label), ""
			}
			doubt = c.Name
		}
	}
	return "", doubt
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
	name := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(t.base(), "chat_"), "message_"), "room_")
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
