package authorize_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"roomcast/functions/authorize"
	"roomcast/shared/event"
)

const another = "11111111-0000-4000-8000-000000000001"

func batchForm(socketID string, channels ...string) string {
	form := url.Values{"channel_name": channels}
	if socketID != "" {
		form.Set("socket_id", socketID)
	}
	return form.Encode()
}

type batchPart struct {
	Status      int
	Error       string
	Auth        string
	ChannelData string `json:"channel_data"`
}

// batches is an Access that counts how often it is asked.
type batches struct {
	*members
	calls []int // rooms in each
}

func (b *batches) CanReadAll(_ context.Context, rooms, _ []string, _ [][]byte) (answers []*bool, err error) {
	b.calls = append(b.calls, len(rooms))
	for _, room := range rooms {
		ok := b.rooms[room]
		answers = append(answers, &ok)
	}
	return answers, b.err
}

// Each channel is answered as it would be alone, and the database is asked once.
func TestBatch(t *testing.T) {
	b := &batches{members: &members{rooms: map[string]bool{}}}
	var channels []string
	for i := range 90 {
		b.rooms[fmt.Sprint(i)] = true
		channels = append(channels, fmt.Sprintf("private-room-%d", i))
	}
	refused := []string{"private-room-closed", "private-user-" + another, "room-1", ":user::{}", "private-room-1:x", "private-room-=00"}
	d := newDesk(t, func(c *authorize.Config) { c.Access = authorize.NewCoalescer(authorize.CoalescerConfig{Access: b}) })
	own := "private-user-" + user
	all := append(slices.Clone(channels), "presence-room-1", own, channels[0])
	w := post(d.batch, bearer(t), batchForm(socket, append(all, refused...)...))
	var parts map[string]batchPart
	if err := json.Unmarshal(w.Body.Bytes(), &parts); err != nil || w.Code != 200 || len(parts) != 98 {
		t.Fatalf("%d, %d parts: %.200s", w.Code, len(parts), w.Body)
	}
	for _, channel := range all {
		if p := parts[channel]; p.Status != 200 || !strings.HasPrefix(p.Auth, pusherKey+":") || (p.ChannelData != "") != strings.HasPrefix(channel, "presence") {
			t.Errorf("%s: %+v", channel, p)
		}
	}
	for _, channel := range refused {
		if p := parts[channel]; p.Status != 403 || p.Error == "" || p.Auth != "" {
			t.Errorf("%s: %+v", channel, p)
		}
	}
	if fmt.Sprint(b.calls) != "[91]" { // closed, and 90 rooms of which one has two channels
		t.Errorf("the database was asked for %v rooms", b.calls)
	}
	var alone batchPart
	if err := json.Unmarshal(post(d.channel, bearer(t), formOf(socket, channels[3])).Body.Bytes(), &alone); err != nil || alone.Auth != parts[channels[3]].Auth {
		t.Errorf("alone it is signed %q, %v", alone.Auth, err)
	}
}

func TestBatchRefusals(t *testing.T) {
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf("private-room-%d", i)
	}
	for name, tc := range map[string]struct {
		token, body string
		status      int
	}{
		"no token":       {"", batchForm(socket, "private-room-"+room), 401},
		"no socket":      {bearer(t), batchForm("", "private-room-"+room), 400},
		"two sockets":    {bearer(t), batchForm(socket, "private-room-"+room) + "&socket_id=2.2", 400},
		"bad socket":     {bearer(t), batchForm("1.1:", "private-room-"+room), 400},
		"no channel":     {bearer(t), batchForm(socket), 400},
		"101 channels":   {bearer(t), batchForm(socket, many...), 400},
		"a long body":    {bearer(t), batchForm(socket, strings.Repeat("x", 65<<10)), 413},
		"a broken form":  {bearer(t), "socket_id=1.1&channel_name=%zz", 400},
		"a single valid": {bearer(t), batchForm(socket, "private-room-"+room), 200},
	} {
		d := newDesk(t)
		if w := post(d.batch, tc.token, tc.body); w.Code != tc.status || tc.status != 200 && len(d.signer.signed) > 0 {
			t.Errorf("%s: %d %.100s, want %d", name, w.Code, w.Body, tc.status)
		}
	}
}

// The database that is away is told channel by channel; what needs none is signed.
func TestBatchWithoutADatabase(t *testing.T) {
	d := newDesk(t)
	d.members.err = context.DeadlineExceeded
	w := post(d.batch, bearer(t), batchForm(socket, "private-room-"+room, "private-user-"+user))
	var parts map[string]batchPart
	if err := json.Unmarshal(w.Body.Bytes(), &parts); err != nil {
		t.Fatal(err)
	}
	if parts["private-room-"+room].Status != 503 || parts["private-user-"+user].Status != 200 {
		t.Errorf("%s", w.Body)
	}
}

// A user's channel is signed for that user, and without asking the database.
func TestPersonalChannel(t *testing.T) {
	d := newDesk(t)
	if w := post(d.channel, bearer(t), formOf(socket, "private-user-"+user)); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	d.signer.signed = nil
	for _, name := range []string{"private-user-" + another, "private-user-" + strings.ToUpper(user), "private-user-", "presence-user-" + user,
		"private-encrypted-user-" + user, "private-packed-user-" + user} {
		d.refused(t, d.channel, bearer(t), formOf(socket, name), 403, authorize.ResultForbidden)
	}
	if len(d.members.asked) != 0 {
		t.Errorf("asked about %v", d.members.asked)
	}
}

// A room's id may begin with @ and is asked about as it is: it is nobody's own channel.
func TestRoomThatLooksLikeAUser(t *testing.T) {
	d := newDesk(t)
	name, err := event.ChannelName(event.Private, event.RoomKey("@"+user))
	if err != nil {
		t.Fatal(err)
	}
	d.refused(t, d.channel, bearer(t), formOf(socket, name), 403, authorize.ResultForbidden)
	if !slices.Equal(d.members.asked, []string{"@" + user}) {
		t.Errorf("asked about %q", d.members.asked)
	}
}
