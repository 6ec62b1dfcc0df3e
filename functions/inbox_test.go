package main

import (
	"net/http"
	"strings"
	"testing"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher/pushertest"
)

const member, room1 = "11111111-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000001"

// A message in a room is told to its members' own channels, counted in their inbox, and
// read; without INBOX there is no such route and no such event.
func TestInbox(t *testing.T) {
	t.Parallel()
	push, database := newPusher(t), outboxtest.Chat(t)
	f := start(t, environment(push, "DATABASE_URL="+database, "INBOX=true"))
	if err := outboxtest.Exec(t.Context(), database, `insert into room_participants (room_id, user_id) values ('`+room1+`', '`+member+`')`); err != nil {
		t.Fatal(err)
	}
	f.message(t, database, "hello")
	f.wakeUp(t)
	err := push.Wait(t.Context(), func(all []pushertest.Accepted) bool {
		for _, a := range all {
			if a.Name == "room-activity" && a.Channel == "private-user-"+member && strings.Contains(a.Data, `"room":"`+room1+`"`) {
				return true
			}
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	inbox := func() (unread, read int64) {
		t.Helper()
		var got struct {
			Rooms []struct {
				Room         string
				Unread, Read int64
			}
		}
		if status := f.asMember(t, "/me/rooms", &got); status != 200 || len(got.Rooms) != 1 || got.Rooms[0].Room != room1 {
			t.Fatalf("%d %+v", status, got)
		}
		return got.Rooms[0].Unread, got.Rooms[0].Read
	}
	if unread, read := inbox(); unread != 1 || read != 0 {
		t.Errorf("%d unread, read up to %d", unread, read)
	}
	if status := f.post(t, "/rooms/"+room1+"/read", "application/json", `{"seq":2}`, memberToken(t)); status != http.StatusNoContent {
		t.Errorf("read: %d", status)
	}
	if unread, read := inbox(); unread != 0 || read != 2 {
		t.Errorf("afterwards %d unread, read up to %d", unread, read)
	}

	plain := start(t, environment(push, "DATABASE_URL="+database))
	if status := plain.post(t, "/rooms/"+room1+"/read", "application/json", `{"seq":2}`, memberToken(t)); status != http.StatusNotFound {
		t.Errorf("without INBOX: %d", status)
	}
}
