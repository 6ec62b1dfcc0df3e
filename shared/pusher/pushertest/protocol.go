package pushertest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// The Pusher Channels protocol, version 7, as far as it is served here
// (https://pusher.com/docs/channels/library_auth_reference/pusher-websockets-protocol/).
// A message is one JSON object {"event","channel","data"}. What the server says under
// "data" is a string holding JSON; what a client says may be either.

// The only version pusher-js 8 speaks: /app/<key>?protocol=7&client=js&version=8.6.0
const protocolVersion = "7"

// From the client.
const (
	cmdPing        = "pusher:ping"
	cmdPong        = "pusher:pong"
	cmdSubscribe   = "pusher:subscribe"   // {"channel","auth","channel_data"}
	cmdUnsubscribe = "pusher:unsubscribe" // {"channel"}
	cmdSignin      = "pusher:signin"      // {"auth","user_data"}
	clientPrefix   = "client-"            // an event for the channel's other subscribers
)

// From the server.
const (
	evEstablished = "pusher:connection_established" // {"socket_id","activity_timeout" in s}
	evPing        = "pusher:ping"
	evPong        = "pusher:pong"
	evError       = "pusher:error" // {"message","code"}, an object and not a string
	evSubscribed  = "pusher_internal:subscription_succeeded"
	evSubError    = "pusher:subscription_error" // {"type","error","status"}
	evMemberIn    = "pusher_internal:member_added"
	evMemberOut   = "pusher_internal:member_removed"
	evSignedIn    = "pusher:signin_success" // {"user_data"}
)

// Close codes say what the client shall do: 4000 to 4099 stay away, 4100 to 4199 come back
// after a while, 4200 to 4299 come back at once.
const (
	codeNoApp        = 4001
	codeBadProtocol  = 4007
	codeUnauthorized = 4009 // also what terminate_connections sends
	codeRestart      = 4200 // "generic reconnect immediately"
	codeNoPong       = 4201
	codeClientEvents = 4301 // an error message only, the connection stays
)

// Limits of Pusher's, beside those that package pusher names.
const (
	maxChannels     = 100   // of one event
	maxData         = 10240 // bytes of an event's data: the most generous reading of "10 kB" is served by default
	maxMembers      = 100   // of one presence channel
	maxClientEvents = 10    // a second, of one connection
	timestampWindow = 600 * time.Second
)

const userChannelPrefix = "#server-to-user-" // one per signed-in user, subscribed without auth

// frame is one message to a client.
type frame struct {
	Event   string `json:"event"`
	Channel string `json:"channel,omitempty"`
	Data    any    `json:"data"`
	UserID  string `json:"user_id,omitempty"`
}

// encode makes the message's bytes, once for all its receivers.
func (f frame) encode() []byte { return marshal(f) }

// marshal is for values of this package, whose encoding cannot fail.
func marshal(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("pushertest: " + err.Error())
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// nested is JSON inside a JSON string.
func nested(v any) string { return string(marshal(v)) }

// sign is written here again, not shared with package pusher: emulator and client shall not
// agree on a mistake.
func (s *Server) sign(text []byte) string {
	mac := hmac.New(sha256.New, []byte(s.opts.Secret))
	mac.Write(text)
	return hex.EncodeToString(mac.Sum(nil))
}

// signed reports whether auth, in the form key:signature, signs the text.
func (s *Server) signed(auth, text string) bool {
	return hmac.Equal([]byte(auth), []byte(s.opts.Key+":"+s.sign([]byte(text))))
}
