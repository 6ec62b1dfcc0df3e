package pushertest

import (
	"net/http"
	"strings"

	"roomcast/shared/pusher"
)

// channelInfo is what can be asked of a channel; a nil member was not asked for.
type channelInfo struct {
	Occupied          *bool `json:"occupied,omitempty"`
	UserCount         *int  `json:"user_count,omitempty"` // presence channels only
	SubscriptionCount *int  `json:"subscription_count,omitempty"`
}

// only keeps the attributes named in a request's info parameter.
func (i channelInfo) only(attributes string) channelInfo {
	var kept channelInfo
	for name := range strings.SplitSeq(attributes, ",") {
		switch name {
		case "user_count":
			kept.UserCount = i.UserCount
		case "subscription_count":
			kept.SubscriptionCount = i.SubscriptionCount
		}
	}
	return kept
}

// getChannels lists the occupied channels.
func (s *Server) getChannels(c call) (any, error) {
	prefix, attributes := c.FormValue("filter_by_prefix"), c.FormValue("info")
	if strings.Contains(attributes, "user_count") && !strings.HasPrefix(prefix, "presence-") {
		return nil, refuse(http.StatusBadRequest, "user_count may only be requested for presence channels - please supply filter_by_prefix begining with presence-")
	}
	channels := make(map[string]channelInfo)
	for _, name := range s.hub.occupied(prefix) {
		channels[name] = s.hub.info(name).only(attributes)
	}
	return map[string]any{"channels": channels}, nil
}

// getChannel tells whether a channel is occupied, and what else was asked for.
func (s *Server) getChannel(c call) (any, error) {
	name, attributes := c.PathValue("channel"), c.FormValue("info")
	if pusher.CheckChannel(name) != nil {
		return nil, refuse(http.StatusBadRequest, "Invalid channel name")
	}
	if strings.Contains(attributes, "user_count") && !strings.HasPrefix(name, "presence-") {
		return nil, refuse(http.StatusBadRequest, "Cannot retrieve the user count unless the channel is a presence channel")
	}
	info := s.hub.info(name)
	answer := info.only(attributes)
	answer.Occupied = info.Occupied
	return answer, nil
}

// getUsers lists the members of a presence channel.
func (s *Server) getUsers(c call) (any, error) {
	name := c.PathValue("channel")
	if pusher.CheckChannel(name) != nil || !strings.HasPrefix(name, "presence-") {
		return nil, refuse(http.StatusBadRequest, "Users can only be retrieved for presence channels")
	}
	type user struct {
		ID string `json:"id"`
	}
	users := []user{}
	for _, id := range s.hub.members(name) {
		users = append(users, user{id})
	}
	return map[string]any{"users": users}, nil
}

// terminate closes the connections that signed in as a user. Those that merely subscribed
// as that user stay, as they do at Pusher.
func (s *Server) terminate(c call) (any, error) {
	for _, sock := range s.hub.signedIn(c.PathValue("user")) {
		sock.queue.close(codeUnauthorized, "Connection terminated by the app")
	}
	return struct{}{}, nil
}
