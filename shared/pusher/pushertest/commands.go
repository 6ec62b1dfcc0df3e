package pushertest

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"roomcast/shared/pusher"
)

// command is one message of a client.
type command struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"` // client events only
	Data    json.RawMessage `json:"data"`
}

// decode reads the data into v, whether it is an object or a string holding one.
func (c command) decode(v any) error {
	data := c.Data
	var text string
	if json.Unmarshal(data, &text) == nil {
		data = []byte(text)
	}
	return json.Unmarshal(data, v)
}

func (sock *socket) handle(cmd command) {
	switch {
	case cmd.Event == cmdPing:
		sock.send(frame{Event: evPong, Data: "{}"})
	case cmd.Event == cmdPong:
	case cmd.Event == cmdSubscribe:
		sock.subscribe(cmd)
	case cmd.Event == cmdUnsubscribe:
		var in subscription
		_ = cmd.decode(&in) // malformed: an empty name, which nobody listens to
		sock.server.hub.unsubscribe(sock, in.Channel)
	case cmd.Event == cmdSignin:
		sock.signin(cmd)
	case strings.HasPrefix(cmd.Event, clientPrefix):
		sock.clientEvent(cmd)
	default:
		sock.send(errorFrame(nil, "Unknown command"))
	}
}

func errorFrame(code any, message string) frame {
	return frame{Event: evError, Data: map[string]any{"code": code, "message": message}}
}

// subscription is the data of subscribe and unsubscribe.
type subscription struct {
	Channel     string `json:"channel"`
	Auth        string `json:"auth"`
	ChannelData string `json:"channel_data"`
}

// subscribe checks the authorization and answers with success or a subscription_error.
func (sock *socket) subscribe(cmd command) {
	var in subscription
	if err := cmd.decode(&in); err != nil {
		sock.send(errorFrame(nil, "Malformed subscription"))
		return
	}
	if text := sock.mayListen(in); text != "" {
		sock.refuse(in.Channel, "AuthError", text, 401)
		return
	}
	var id string
	var info json.RawMessage
	if strings.HasPrefix(in.Channel, "presence-") {
		var text string
		if id, info, text = sock.member(in); text != "" {
			sock.refuse(in.Channel, "AuthError", text, 401)
			return
		}
	}
	if !sock.server.hub.subscribe(sock, in.Channel, id, info) {
		sock.refuse(in.Channel, "LimitReached", "The channel has as many members as it may have", 403)
	}
}

func (sock *socket) refuse(channel, kind, text string, status int) {
	sock.server.opts.Log.Info("pushertest refused", "subscription", channel, "reason", text)
	sock.send(frame{Event: evSubError, Channel: channel,
		Data: map[string]any{"type": kind, "error": text, "status": status}})
}

// mayListen returns why not, or nothing.
func (sock *socket) mayListen(in subscription) string {
	if user, ok := strings.CutPrefix(in.Channel, userChannelPrefix); ok {
		if user != sock.userID || user == "" {
			return "Not signed in as this user"
		}
		return ""
	}
	if pusher.CheckChannel(in.Channel) != nil {
		return "Invalid channel name"
	}
	// private-encrypted- is authorized as private: what is encrypted is the payload.
	if !strings.HasPrefix(in.Channel, "private-") && !strings.HasPrefix(in.Channel, "presence-") {
		return ""
	}
	text := sock.id + ":" + in.Channel
	if in.ChannelData != "" {
		text += ":" + in.ChannelData
	}
	if !sock.server.signed(in.Auth, text) {
		return "Invalid signature"
	}
	return ""
}

// member reads who subscribes to a presence channel: channel_data says it; without, it is
// the user that the connection signed in as.
func (sock *socket) member(in subscription) (id string, info json.RawMessage, refusal string) {
	if in.ChannelData == "" && sock.userID != "" {
		return sock.userID, nil, ""
	}
	var data struct {
		UserID json.RawMessage `json:"user_id"`
		Info   json.RawMessage `json:"user_info"`
	}
	if err := json.Unmarshal([]byte(in.ChannelData), &data); err != nil {
		return "", nil, "channel_data is not JSON"
	}
	// A number is allowed, and means its digits: the documentation's own example has 10.
	if json.Unmarshal(data.UserID, &id) != nil {
		id = string(data.UserID)
	}
	if id == "" || utf8.RuneCountInString(id) > pusher.MaxUserID || len(data.Info) > pusher.MaxMemberInfo {
		return "", nil, "user_id missing, or member data too large"
	}
	return id, data.Info, ""
}

// signin verifies a user, as whom the connection can then be addressed and terminated.
func (sock *socket) signin(cmd command) {
	var in struct {
		Auth     string `json:"auth"`
		UserData string `json:"user_data"`
	}
	var user struct {
		ID string `json:"id"`
	}
	if cmd.decode(&in) != nil || !sock.server.signed(in.Auth, sock.id+"::user::"+in.UserData) ||
		json.Unmarshal([]byte(in.UserData), &user) != nil || user.ID == "" {
		sock.queue.close(codeUnauthorized, "Sign-in not authorized")
		return
	}
	sock.server.hub.signIn(sock, user.ID)
	sock.send(frame{Event: evSignedIn, Data: nested(map[string]string{"user_data": in.UserData})})
}

// clientEvent passes an event on to the channel's other subscribers.
func (sock *socket) clientEvent(cmd command) {
	private := strings.HasPrefix(cmd.Channel, "private-") && !strings.HasPrefix(cmd.Channel, "private-encrypted-")
	switch {
	case !private && !strings.HasPrefix(cmd.Channel, "presence-"):
		sock.send(errorFrame(nil, "Client events are for private and presence channels"))
	case len(cmd.Event) > pusher.MaxEventName || len(cmd.Data) > sock.server.opts.MaxData:
		sock.send(errorFrame(codeClientEvents, "The client event is too large"))
	case !sock.clientEvents.allow(sock.server.opts.Clock(), maxClientEvents):
		sock.send(errorFrame(codeClientEvents, "Client event rejected due to rate limit"))
	default:
		sock.server.hub.relay(sock, cmd.Channel, cmd.Event, cmd.Data)
	}
}

// rate counts within whole seconds.
type rate struct {
	second int64
	count  int
}

func (r *rate) allow(now time.Time, limit int) bool {
	if second := now.Unix(); second != r.second {
		r.second, r.count = second, 0
	}
	r.count++
	return r.count <= limit
}
