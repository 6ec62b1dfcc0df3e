package pushertest

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"roomcast/shared/pusher"
)

// library is what an app's server does with Pusher. Two stand the same tests: our client, and
// the npm package, which shows that the tests ask for Pusher's behaviour and not for ours.
type library interface {
	publish(ctx context.Context, e pusher.Event) error
	batch(ctx context.Context, events []pusher.Event) error
	authorize(ctx context.Context, socketID, channel string, member *pusher.Member) ([]byte, error)
	user(ctx context.Context, socketID, id string) ([]byte, error)
	terminate(ctx context.Context, id string) error
	webhook(ctx context.Context, header http.Header, body []byte) ([]pusher.WebhookEvent, error)
}

// ours is package pusher.
type ours struct{ *pusher.Client }

func (l ours) publish(ctx context.Context, e pusher.Event) error {
	return l.PublishBatch(ctx, []pusher.Event{e})
}

func (l ours) batch(ctx context.Context, events []pusher.Event) error {
	return l.PublishBatch(ctx, events)
}

func (l ours) authorize(_ context.Context, socketID, channel string, member *pusher.Member) ([]byte, error) {
	switch {
	case member != nil:
		return l.AuthorizePresence(socketID, channel, *member)
	case strings.HasPrefix(channel, "private-encrypted-"):
		return l.AuthorizeEncrypted(socketID, channel)
	}
	return l.AuthorizePrivate(socketID, channel)
}

func (l ours) user(_ context.Context, socketID, id string) ([]byte, error) {
	return l.AuthorizeUser(socketID, map[string]any{"id": id})
}

func (l ours) terminate(ctx context.Context, id string) error { return l.TerminateUser(ctx, id) }

func (l ours) webhook(_ context.Context, header http.Header, body []byte) ([]pusher.WebhookEvent, error) {
	hook, err := l.Webhook(header, body)
	if err != nil {
		return nil, err
	}
	return hook.Events, nil
}

// theirs is the npm package.
type theirs struct{ *npmLibrary }

func npmApp(s *Server) map[string]any {
	host, port, _ := net.SplitHostPort(s.Addr())
	return map[string]any{"appId": s.opts.AppID, "key": s.opts.Key, "secret": s.opts.Secret,
		"host": host, "port": port, "useTLS": false, "encryptionMasterKeyBase64": s.opts.EncryptionKey}
}

// value is the event's data as the npm package wants it: it seals JSON.stringify(data), so an
// encrypted event must be handed over parsed.
func value(e pusher.Event) any {
	if strings.HasPrefix(e.Channel, "private-encrypted-") {
		return json.RawMessage(e.Data)
	}
	return string(e.Data)
}

func (l theirs) publish(ctx context.Context, e pusher.Event) error {
	_, _, err := l.call(ctx, "trigger", map[string]any{"channels": []string{e.Channel}, "event": e.Name,
		"data": value(e)})
	return err
}

func (l theirs) batch(ctx context.Context, events []pusher.Event) error {
	var list []map[string]any
	for _, e := range events {
		list = append(list, map[string]any{"channel": e.Channel, "name": e.Name, "data": value(e)})
	}
	_, _, err := l.call(ctx, "batch", map[string]any{"events": list})
	return err
}

func (l theirs) authorize(ctx context.Context, socketID, channel string, member *pusher.Member) ([]byte, error) {
	args := map[string]any{"socket_id": socketID, "channel": channel}
	if member != nil {
		args["member"] = map[string]any{"user_id": member.UserID, "user_info": member.Info}
	}
	result, _, err := l.call(ctx, "authorize", args)
	return result, err
}

func (l theirs) user(ctx context.Context, socketID, id string) ([]byte, error) {
	result, _, err := l.call(ctx, "user", map[string]any{"socket_id": socketID, "user": map[string]any{"id": id}})
	return result, err
}

func (l theirs) terminate(ctx context.Context, id string) error {
	_, _, err := l.call(ctx, "terminate", map[string]any{"user": id})
	return err
}

func (l theirs) webhook(ctx context.Context, header http.Header, body []byte) ([]pusher.WebhookEvent, error) {
	headers := make(map[string]string)
	for name := range header {
		headers[strings.ToLower(name)] = header.Get(name)
	}
	result, _, err := l.call(ctx, "webhook", map[string]any{"headers": headers, "body": string(body)})
	if err != nil {
		return nil, err
	}
	var events []pusher.WebhookEvent
	return events, json.Unmarshal(result, &events)
}

// authServer authorizes browsers with the library. A browser's name without digits is its
// user, so that anna1 and anna2 are one user's; mallory's signatures are for another socket.
func authServer(t *testing.T, lib library) string {
	answer := func(sign func(r *http.Request, socketID, user string) ([]byte, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			socketID, user := r.FormValue("socket_id"), strings.TrimRight(r.FormValue("as"), "0123456789")
			if user == "mallory" {
				socketID = "1.1"
			}
			body, err := sign(r, socketID, user)
			if err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			_, _ = w.Write(body)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /auth", answer(func(r *http.Request, socketID, user string) ([]byte, error) {
		channel := r.FormValue("channel_name")
		var member *pusher.Member
		if strings.HasPrefix(channel, "presence-") {
			member = &pusher.Member{UserID: user, Info: map[string]any{"name": "<" + user + ">"}}
		}
		return lib.authorize(r.Context(), socketID, channel, member)
	}))
	mux.HandleFunc("POST /user-auth", answer(func(r *http.Request, socketID, user string) ([]byte, error) {
		return lib.user(r.Context(), socketID, user)
	}))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL
}

// stage is one emulator with browsers around it and a library beside it.
type stage struct {
	*browsers
	server *Server
	lib    library
	auth   string
}

// enter opens a page and waits until it is connected; it returns the socket id.
func (st *stage) enter(t *testing.T, browser string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(st.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	number, _ := strconv.Atoi(port)
	st.say(t, map[string]any{"op": "connect", "browser": browser, "key": st.server.opts.Key,
		"host": host, "port": number, "auth": st.auth})
	t.Cleanup(func() {
		st.do(t, "close", browser, "")
		st.await(t, seen{Browser: browser, Kind: "closed"})
	})
	return st.await(t, seen{Browser: browser, Kind: "state", Event: "connected"}).SocketID
}

func (st *stage) do(t *testing.T, op, browser, channel string) {
	t.Helper()
	st.say(t, map[string]any{"op": op, "browser": browser, "channel": channel})
}

// subscribe waits for the answer and returns its data.
func (st *stage) subscribe(t *testing.T, browser, channel string) string {
	t.Helper()
	st.do(t, "subscribe", browser, channel)
	return string(st.await(t, seen{Browser: browser, Channel: channel, Event: "pusher:subscription_succeeded"}).Data)
}

// settle returns when the server has handled all the page said so far, and the page has seen
// all the server sent it before that.
func (st *stage) settle(t *testing.T, browser string) {
	t.Helper()
	st.do(t, "ping", browser, "")
	st.await(t, seen{Browser: browser, Kind: "message", Event: "pusher:pong"})
}

func (st *stage) publish(t *testing.T, e pusher.Event) {
	t.Helper()
	if err := st.lib.publish(within(t), e); err != nil {
		t.Fatal(err)
	}
}
