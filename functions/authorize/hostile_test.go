package authorize_test

import (
	"net/http"
	"strings"
	"testing"

	"roomcast/functions/authorize"
)

func TestHostileChannelNames(t *testing.T) {
	names := []string{
		// testdata/vectors.md, section 6: signed as they are, these become a
		// sign-in as user 12345 and a presence member 10.
		`:user::{"id":"12345"}`,
		`presence-foobar:{"user_id":"10","user_info":{"name":"Mr. Channels"}}`,
		// The same inside what looks like a room.
		`private-room-` + room + `:user::{"id":"12345"}`,
		`presence-room-` + room + `:{"user_id":"10"}`,
		"private-room-:", "private-room-" + room + ":", ":private-room-" + room,
		// Control characters, blanks, line ends.
		"private-room-" + room + "\n", "\nprivate-room-" + room, "private-room-" + room + "\r\n", "private-room-a\x00b",
		"private-room-" + room + "\x00", "private-room-" + room + "\t", " private-room-" + room, "private-room-" + room + " ",
		"private-room-a\x7f", "private-room-a\u0085b", "private-room-a\u2028b",
		// Look-alikes and other bytes.
		"private\u2010room\u2010" + room, "\uff50rivate-room-" + room, "private-room-\u0430", "private-room-a\u200b",
		"private-room-a\u202eb", "private-room-\xff\xfe", "private-room-é", "private-room-a\uff1ab", "private-room-\ufeff" + room,
		// Two spellings of one room, and escapes that are none.
		"private-room-=61", "private-room-=c3=a9", "private-room-=3", "private-room-=", "private-room-==", "private-room-=3Z",
		"private-room-%3A", "private-room-a%0Ab", "private-room-a+b/c",
		// Rooms that a name can spell but no text in Postgres can be.
		"private-room-=00", "private-room-=FF", "private-room-a=C3", "private-room-=ED=A0=80",
		// Other prefixes, and none at all.
		"", "private-", "private-room", "private-room-", "presence-room-", "private-encrypted-room-", "room-", "-room-" + room,
		room, "PRIVATE-room-" + room, "Private-room-" + room, "private-Room-" + room, "private-foobar", "presence-foobar",
		"private-encrypted-" + room, "private-cache-room-" + room, "cache-room-" + room, "#server-to-user-" + user,
		"private-user-11111111-0000-4000-8000-000000000001", "pusher:room", "public-room-" + room, "private_room_" + room,
		// Public rooms need no authorization, and must not lend one.
		"room-" + room, "room-private-room-" + room,
		// Too long: 164 is the limit.
		"private-room-" + strings.Repeat("a", 165-len("private-room-")),
		"private-room-" + strings.Repeat("=C3=A9", 26),
		"private-room-" + strings.Repeat("a", 3000),
		// Several in one.
		"private-room-" + room + "," + "private-room-" + room, `["private-room-` + room + `"]`, `{"name":"private-room-` + room + `"}`,
		"private-room-" + room + "&channel_name=private-room-x", "private-room-" + room + "'or'1'='1", "private-room-../" + room,
	}
	for _, name := range names {
		d := newDesk(t)
		d.members.rooms = nil
		status, result := http.StatusForbidden, authorize.ResultForbidden
		if name == "" {
			status, result = http.StatusBadRequest, authorize.ResultBadRequest
		}
		t.Run(name[:min(len(name), 60)], func(t *testing.T) {
			d.refused(t, d.channel, bearer(t), formOf(socket, name), status, result)
			for _, asked := range d.members.asked {
				// A comma belongs to the alphabet: that one is a room, and not theirs.
				if !strings.Contains(asked, ",") {
					t.Errorf("the database was asked for %q", asked)
				}
			}
		})
	}
}

func TestHostileForms(t *testing.T) {
	good := formOf(socket, "private-room-"+room)
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	query := func(q string) func(*http.Request) {
		return func(r *http.Request) { r.URL.RawQuery = q }
	}
	same := func(*http.Request) {}
	tests := []struct {
		name, body string
		edit       func(*http.Request)
		status     int
	}{
		{"empty", "", same, 400},
		{"no socket", "channel_name=private-room-" + room, same, 400},
		{"no channel", "socket_id=" + socket, same, 400},
		{"channel twice", good + "&channel_name=private-room-" + room, same, 400},
		{"channel twice, the second hidden", good + "&%63hannel_name=x", same, 400},
		{"channel twice, one empty", "channel_name=&" + good, same, 400},
		{"socket twice", good + "&socket_id=" + socket, same, 400},
		{"channel as a list", "socket_id=" + socket + "&channel_name[]=private-room-" + room, same, 400},
		{"channel in the query too", good, query("channel_name=private-room-x"), 400},
		{"socket in the query only", "channel_name=private-room-" + room, query("socket_id=" + socket), 400},
		{"semicolons", strings.ReplaceAll(good, "&", ";"), same, 400},
		{"broken escape", good + "%", same, 400},
		{"broken escape elsewhere", good + "&x=%zz", same, 400},
		{"JSON", `{"socket_id":"1234.1234","channel_name":"private-room-` + room + `"}`, header("Content-Type", "application/json"), 415},
		{"JSON said to be a form", `{"socket_id":"1234.1234","channel_name":"private-room-` + room + `"}`, same, 400},
		{"multipart", good, header("Content-Type", "multipart/form-data; boundary=x"), 415},
		{"no type", good, header("Content-Type", ""), 415},
		{"text", good, header("Content-Type", "text/plain"), 415},
		{"UTF-16", good, header("Content-Type", "application/x-www-form-urlencoded; charset=utf-16"), 415},
		{"compressed", good, header("Content-Encoding", "gzip"), 415},
		{"too large", good + "&x=" + strings.Repeat("x", 4<<10), same, 413},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			d.refused(t, d.channel, bearer(t), tt.body, tt.status, authorize.ResultBadRequest, tt.edit)
			if d.members.asked != nil {
				t.Errorf("the database was asked for %q", d.members.asked)
			}
		})
	}
	// A sign-in is held to the same form.
	signIn := "socket_id=" + socket
	for _, tt := range []struct {
		name, body string
		edit       func(*http.Request)
		status     int
	}{
		{"empty", "", same, 400},
		{"socket twice", signIn + "&" + signIn, same, 400},
		{"socket twice, the second hidden", signIn + "&%73ocket_id=1.1", same, 400},
		{"socket in the query", "", query(signIn), 400},
		{"socket in the query too", signIn, query(signIn), 400},
		{"JSON", `{"socket_id":"` + socket + `"}`, header("Content-Type", "application/json"), 415},
		{"compressed", signIn, header("Content-Encoding", "gzip"), 415},
		{"too large", signIn + "&x=" + strings.Repeat("x", 4<<10), same, 413},
		{"two headers", signIn, func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+bearer(t)) }, 401},
	} {
		t.Run("sign-in: "+tt.name, func(t *testing.T) {
			d, result := newDesk(t), authorize.ResultBadRequest
			if tt.status == 401 {
				result = authorize.ResultBadToken
			}
			d.refused(t, d.user, bearer(t), tt.body, tt.status, result, tt.edit)
		})
	}
	t.Run("just not too large", func(t *testing.T) {
		if w := post(newDesk(t).channel, bearer(t), good+"&x="+strings.Repeat("x", 4<<10-len(good)-3)); w.Code != 200 {
			t.Errorf("status %d", w.Code)
		}
	})
	t.Run("charset UTF-8", func(t *testing.T) {
		w := post(newDesk(t).channel, bearer(t), good, header("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"))
		if w.Code != 200 {
			t.Errorf("status %d", w.Code)
		}
	})
}

func TestHostileSockets(t *testing.T) {
	for _, id := range []string{
		"1234", "1234.", ".1234", "1234.1234.1", "1234.1234\n", "\n1234.1234", " 1234.1234", "1234.1234:private-room-x", "1234.1234::user::{}",
		"1234,1234", "-1.1", "1e3.1", "0x1.1", "١٢٣.٤٥", "1234.1234\x00", "null", "1234.１２３４", strings.Repeat("1", 200) + ".1",
	} {
		d := newDesk(t)
		d.refused(t, d.channel, bearer(t), formOf(id, "private-room-"+room), 400, authorize.ResultBadRequest)
		d.refused(t, d.user, bearer(t), formOf(id, "x"), 400, authorize.ResultBadRequest)
	}
}
