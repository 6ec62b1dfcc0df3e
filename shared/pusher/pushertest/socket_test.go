package pushertest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roomcast/shared/pusher"
)

// page is a bare WebSocket, for what pusher-js does not let a test do.
type page struct {
	*websocket.Conn
	t        *testing.T
	socketID string
}

func dial(t *testing.T, s *Server, target string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(within(t), "ws://"+s.Addr()+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	return conn
}

func open(t *testing.T, s *Server) *page {
	t.Helper()
	p := &page{Conn: dial(t, s, "/app/"+s.opts.Key+"?protocol=7&client=js&version=8.6.0"), t: t}
	var hello struct {
		SocketID string `json:"socket_id"`
		Timeout  int    `json:"activity_timeout"`
	}
	p.expect(evEstablished, &hello)
	if pusher.CheckSocketID(hello.SocketID) != nil {
		t.Fatalf("greeted with %+v", hello)
	}
	p.socketID = hello.SocketID
	return p
}

func (p *page) say(message string) {
	p.t.Helper()
	if err := p.Write(within(p.t), websocket.MessageText, []byte(message)); err != nil {
		p.t.Fatal(err)
	}
}

// expect reads one message, which must be the event, and its data into v if v is not nil.
func (p *page) expect(event string, v any) {
	p.t.Helper()
	_, raw, err := p.Read(within(p.t))
	if err != nil {
		p.t.Fatalf("expecting %s: %v", event, err)
	}
	var got command
	if err := json.Unmarshal(raw, &got); err != nil || got.Event != event {
		p.t.Fatalf("expecting %s, got %s", event, raw)
	}
	if v != nil && got.decode(v) != nil {
		p.t.Fatalf("%s has data %s", event, got.Data)
	}
}

// subscribe signs and asks; the answer is still to be read.
func (p *page) subscribe(s *Server, channel, channelData string) {
	p.t.Helper()
	text := p.socketID + ":" + channel
	if channelData != "" {
		text += ":" + channelData
	}
	p.say(nested(map[string]any{"event": cmdSubscribe, "data": map[string]any{
		"channel": channel, "channel_data": channelData, "auth": s.opts.Key + ":" + s.sign([]byte(text))}}))
}

func TestConnectionsThatAreNotAccepted(t *testing.T) {
	s := start(t, Options{})
	for target, want := range map[string]websocket.StatusCode{
		"/app/another-key?protocol=7":        codeNoApp,
		"/app/" + s.opts.Key + "?protocol=4": codeBadProtocol,
		"/app/" + s.opts.Key:                 codeBadProtocol,
	} {
		if _, _, err := dial(t, s, target).Read(within(t)); websocket.CloseStatus(err) != want {
			t.Errorf("%s: %v, want code %d", target, err, want)
		}
	}
	s.Inject(Fault{Path: "/app/*", Status: 503})
	if _, resp, err := websocket.Dial(within(t), "ws://"+s.Addr()+"/app/"+s.opts.Key+"?protocol=7", nil); err == nil || resp.StatusCode != 503 {
		t.Errorf("a fault on WebSockets: %v", err)
	}
}

func TestCommands(t *testing.T) {
	s := start(t, Options{})
	p := open(t, s)
	for _, tc := range []struct{ say, event string }{
		{`{"event":"pusher:ping","data":{}}`, evPong},
		{`{"event":"pusher:ping"}`, evPong},
		{`not JSON`, evError},
		{`{"event":"pusher:unheard-of","data":{}}`, evError},
		{`{"event":"pusher:subscribe","data":"{\"channel\":\"room\"}"}`, evSubscribed}, // data may be a string
		{`{"event":"pusher:subscribe","data":{"channel":"room"}}`, evSubscribed},       // twice is harmless
		{`{"event":"pusher:subscribe","data":{"channel":"a b"}}`, evSubError},
		{`{"event":"pusher:subscribe","data":{"channel":"#server-to-user-1"}}`, evSubError},
		{`{"event":"pusher:subscribe","data":{"channel":"#server-to-user-"}}`, evSubError},
		{`{"event":"pusher:subscribe","data":{"channel":"private-x"}}`, evSubError},
		{`{"event":"client-x","channel":"room","data":{}}`, evError},
		{`{"event":"client-x","channel":"private-encrypted-x","data":{}}`, evError},
	} {
		p.say(tc.say)
		p.expect(tc.event, nil)
	}
	if n := s.hub.subscribers("room"); n != 1 {
		t.Errorf("%d subscribers of the room", n)
	}
	// A signature for a presence channel is worth nothing elsewhere, and the other way round.
	p.subscribe(s, "presence-x", "")
	p.expect(evSubError, nil)
	p.subscribe(s, "presence-x", `{"user_id":10}`)
	var greeting struct {
		Presence struct {
			IDs   []string
			Hash  map[string]any
			Count int
		}
	}
	p.expect(evSubscribed, &greeting)
	if got := greeting.Presence; got.Count != 1 || !slices.Equal(got.IDs, []string{"10"}) || len(got.Hash) != 1 {
		t.Errorf("greeted with %+v", got)
	}
}

func TestSignInAsPresenceMember(t *testing.T) {
	s := start(t, Options{})
	p := open(t, s)
	data := `{"id":"u1"}`
	p.say(nested(map[string]any{"event": cmdSignin, "data": map[string]any{
		"user_data": data, "auth": s.opts.Key + ":" + s.sign([]byte(p.socketID+"::user::"+data))}}))
	p.expect(evSignedIn, nil)
	p.subscribe(s, "presence-x", "")
	p.expect(evSubscribed, nil)
	if got := s.hub.members("presence-x"); !slices.Equal(got, []string{"u1"}) {
		t.Errorf("members %v", got)
	}
	p.say(`{"event":"pusher:signin","data":{"user_data":"{}","auth":"x"}}`)
	if _, _, err := p.Read(within(t)); websocket.CloseStatus(err) != codeUnauthorized {
		t.Errorf("a wrong sign-in: %v", err)
	}
	if err := s.hub.changed.until(within(t), func() bool { return s.hub.connected() == 0 }); err != nil {
		t.Fatal(err)
	}
	if got := s.hub.signedIn("u1"); len(got) != 0 {
		t.Errorf("%d connections of a user who is gone", len(got))
	}
}

func TestPresenceHas100Members(t *testing.T) {
	s := start(t, Options{})
	for n := range maxMembers {
		s.hub.subscribe(&socket{id: fmt.Sprint(n), queue: newQueue(nil, nil), channels: map[string]bool{}}, "presence-x", fmt.Sprint(n), nil)
	}
	p := open(t, s)
	p.subscribe(s, "presence-x", `{"user_id":"one too many"}`)
	var refusal struct{ Type string }
	if p.expect(evSubError, &refusal); refusal.Type != "LimitReached" {
		t.Errorf("refused with %+v", refusal)
	}
	p.subscribe(s, "presence-x", `{"user_id":"7"}`) // a member's second connection
	p.expect(evSubscribed, nil)
}

func TestClientEventRate(t *testing.T) {
	s := start(t, Options{Clock: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	p, other := open(t, s), open(t, s)
	for _, page := range []*page{p, other} {
		page.subscribe(s, "private-x", "")
		page.expect(evSubscribed, nil)
	}
	for range maxClientEvents + 1 {
		p.say(`{"event":"client-x","channel":"private-x","data":{}}`)
	}
	var refusal struct{ Code int }
	if p.expect(evError, &refusal); refusal.Code != codeClientEvents {
		t.Errorf("refused with %+v", refusal)
	}
	for range maxClientEvents {
		other.expect("client-x", nil)
	}
}

func TestSilentConnectionsArePingedThenClosed(t *testing.T) {
	s := start(t, Options{ActivityTimeout: 200 * time.Millisecond})
	p := open(t, s)
	p.expect(evPing, nil)
	p.say(`{"event":"pusher:pong"}`)
	p.expect(evPing, nil)
	if _, _, err := p.Read(within(t)); websocket.CloseStatus(err) != codeNoPong {
		t.Errorf("closed with %v", err)
	}
}

// A page that stops reading holds up neither publishers nor others, and is cut off.
func TestSlowReader(t *testing.T) {
	s := start(t, Options{Record: -1})
	slow, quick := open(t, s), open(t, s)
	for _, p := range []*page{slow, quick} {
		p.say(`{"event":"pusher:subscribe","data":{"channel":"room"}}`)
		p.expect(evSubscribed, nil)
	}
	received := make(chan int)
	go func() {
		n := 0
		for ; n < 10; n++ {
			if _, _, err := quick.Read(within(t)); err != nil {
				break
			}
		}
		received <- n
	}()
	c := client(t, s)
	data := []byte(strings.Repeat("x", 9000))
	for range 2 {
		if err := c.PublishBatch(within(t), slices.Repeat([]pusher.Event{{Channel: "room", Name: "n", Data: data}}, 5)); err != nil {
			t.Fatal(err)
		}
	}
	if n := <-received; n != 10 {
		t.Errorf("the quick page got %d of 10 events", n)
	}
	// Until more waits than any buffer holds. Straight to the hub: so many requests cost time.
	message := frame{Event: "n", Channel: "room", Data: string(data[:2000])}
	for deadline := within(t); s.hub.subscribers("room") == 2; {
		if s.hub.publish(message, quick.socketID); deadline.Err() != nil {
			t.Fatal("the slow page is still there")
		}
	}
}

func TestStopEndsConnections(t *testing.T) {
	s := start(t, Options{})
	p := open(t, s)
	s.Stop()
	if _, _, err := p.Read(within(t)); err == nil {
		t.Error("the connection outlived the server")
	}
	if n := s.Stats().Sockets; n != 0 {
		t.Errorf("%d sockets after Stop", n)
	}
}

// What a load test asks of it: one core's worth of publishers, with and without listeners.
func BenchmarkPublishToEmulator(b *testing.B) {
	s, err := New(Options{Record: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c := client(b, s)
	data := []byte(`{"content":"` + strings.Repeat("x", 250) + `"}`)
	batch := slices.Repeat([]pusher.Event{{Channel: "private-room-1", Name: "new-message", Data: data}}, pusher.MaxBatch)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.PublishBatch(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(pusher.MaxBatch)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
