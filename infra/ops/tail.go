package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"strings"
	"time"

	"roomcast/infra/tail"
	"roomcast/shared/event"
)

var errTailSettings = errors.New("tail needs ROOMCAST_URL, PUSHER_KEY, PUSHER_CLUSTER (or PUSHER_HOST), and USER_TOKEN: a Supabase access token of a user who may read the room")

// setUpTail shows a room's events as one of its members receives them: through Pusher,
// with what is missing fetched from the history. It is the quickest proof that a member
// hears what is written. What was said stays out of it unless -data asks.
func setUpTail(flags *flag.FlagSet) func(context.Context, *call) (int, error) {
	data := flags.Bool("data", false, "print the events' data, too: what the room's members read")
	channel := flags.String("channel", "", "listen to this `kind` of channel (default: the first of ROOM_CHANNELS)")
	return func(ctx context.Context, c *call) (int, error) {
		if len(c.args) != 1 {
			return exitFailed, errUsage
		}
		if c.FunctionURL == "" || c.PusherKey == "" || c.PusherCluster == "" && c.PusherHost == "" || c.UserToken == "" {
			return exitFailed, errTailSettings
		}
		kinds, err := c.kinds()
		if err == nil && *channel != "" {
			kinds = make([]event.ChannelKind, 1)
			kinds[0], err = event.ParseChannelKind(*channel)
		}
		switch {
		case err != nil:
			return exitFailed, err
		case len(kinds) == 0 || kinds[0] == event.Encrypted:
			return exitFailed, errors.New("tail cannot open encrypted channels: choose another with -channel")
		}
		err = tail.Config{
			Function: c.FunctionURL, Token: c.UserToken, User: subject(c.UserToken), Room: c.args[0], Channel: kinds[0],
			PusherKey: c.PusherKey, PusherCluster: c.PusherCluster, PusherHost: c.PusherHost, PusherTLS: c.PusherTLS,
			Show: func(e tail.Event) { drawEvent(c.out, e, *data) },
			Note: func(format string, args ...any) {
				if !c.out.json {
					c.out.line("-- "+format, args...)
				}
			},
		}.Run(ctx)
		if err != nil {
			return exitFailed, err
		}
		return exitOK, nil
	}
}

// tailJSON is an event for machines.
type tailJSON struct {
	Name   string          `json:"name"`
	Reason string          `json:"reason,omitempty"`
	Seq    int64           `json:"seq,omitempty"`
	Epoch  string          `json:"epoch,omitempty"`
	Bytes  int             `json:"bytes"`
	Data   json.RawMessage `json:"data,omitempty"`
}

func drawEvent(out *printer, e tail.Event, withData bool) {
	j := tailJSON{Name: e.Name, Reason: e.Reason, Seq: e.Meta.Seq, Epoch: e.Meta.Epoch, Bytes: len(e.Data)}
	if withData {
		j.Data = e.Data
	}
	if out.json {
		_ = out.encode(j) // a reader who has left ends the command by its signal
		return
	}
	text := ""
	if withData {
		text = "  " + string(e.Data)
	}
	switch {
	case e.Reason != "":
		out.line("%s  %s: %s", time.Now().UTC().Format(time.TimeOnly), out.worry(e.Name), e.Reason)
	default:
		out.line("%s  seq %-6d %-18s %s%s", time.Now().UTC().Format(time.TimeOnly), e.Meta.Seq, e.Name, size(int64(len(e.Data))), text)
	}
}

// subject is the user that a token names. The function verifies it; here it is only
// compared.
func subject(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct{ Sub string }
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Sub
}
