package pushertest

import (
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"roomcast/shared/pusher"
)

// event is one entry of POST /batch_events; POST /events has several channels.
type event struct {
	Channel  string `json:"channel"`
	Name     string `json:"name"`
	Data     string `json:"data"` // Pusher takes a string only
	SocketID string `json:"socket_id"`
	Info     string `json:"info"` // comma-separated: user_count, subscription_count
}

// postEvents publishes one event in 1 to 100 channels.
func (s *Server) postEvents(c call) (any, error) {
	var in struct {
		event
		Channels []string `json:"channels"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return nil, refuse(http.StatusBadRequest, "Invalid JSON: %v", err)
	}
	if in.Channels == nil && in.Channel != "" {
		in.Channels = []string{in.Channel}
	}
	if n := len(in.Channels); n < 1 || n > maxChannels {
		return nil, refuse(http.StatusBadRequest, "Expected 1 to %d channels, got %d", maxChannels, n)
	}
	events := make([]event, len(in.Channels))
	for i, name := range in.Channels {
		// One sealed text cannot be opened with the keys of two channels.
		if len(in.Channels) > 1 && strings.HasPrefix(name, "private-encrypted-") {
			return nil, refuse(http.StatusBadRequest, "An encrypted channel must be the only channel")
		}
		events[i] = in.event
		events[i].Channel = name
		if err := s.checkEvent(events[i]); err != nil {
			return nil, err
		}
	}
	s.accept(events, c.fault.Drop)
	if in.Info == "" {
		return struct{}{}, nil
	}
	infos := make(map[string]channelInfo, len(events))
	for _, e := range events {
		infos[e.Channel] = s.hub.info(e.Channel).only(e.Info)
	}
	return map[string]any{"channels": infos}, nil
}

// postBatch publishes 1 to 10 events, all or none.
func (s *Server) postBatch(c call) (any, error) {
	var in struct {
		Batch []event `json:"batch"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return nil, refuse(http.StatusBadRequest, "Invalid JSON: %v", err)
	}
	if n := len(in.Batch); n < 1 || n > pusher.MaxBatch {
		return nil, refuse(http.StatusBadRequest, "Expected 1 to %d events in a batch, got %d", pusher.MaxBatch, n)
	}
	withInfo := false
	for _, e := range in.Batch {
		if err := s.checkEvent(e); err != nil {
			return nil, err
		}
		withInfo = withInfo || e.Info != ""
	}
	s.accept(in.Batch, c.fault.Drop)
	if !withInfo {
		return struct{}{}, nil
	}
	infos := make([]channelInfo, len(in.Batch))
	for i, e := range in.Batch {
		infos[i] = s.hub.info(e.Channel).only(e.Info)
	}
	return map[string]any{"batch": infos}, nil
}

// checkEvent holds an event to Pusher's limits.
func (s *Server) checkEvent(e event) error {
	user, toUser := strings.CutPrefix(e.Channel, userChannelPrefix)
	if toUser && user == "" || !toUser && pusher.CheckChannel(e.Channel) != nil {
		return refuse(http.StatusBadRequest, "Invalid channel name")
	}
	if e.Name == "" || len(e.Name) > pusher.MaxEventName || !utf8.ValidString(e.Name) ||
		strings.HasPrefix(e.Name, "pusher:") || strings.HasPrefix(e.Name, "pusher_internal:") {
		return refuse(http.StatusBadRequest, "Invalid event name")
	}
	if len(e.Data) > s.opts.MaxData {
		return refuse(http.StatusRequestEntityTooLarge,
			"The data content of this event exceeds the allowed maximum (%d bytes)", s.opts.MaxData)
	}
	if e.SocketID != "" && pusher.CheckSocketID(e.SocketID) != nil {
		return refuse(http.StatusBadRequest, "Invalid socket id")
	}
	return nil
}

// accept records the events of one request and hands them to their subscribers.
func (s *Server) accept(events []event, drop bool) {
	s.accepting.Lock()
	defer s.accepting.Unlock()
	s.requests++
	now := s.opts.Clock()
	accepted := make([]Accepted, len(events))
	for i, e := range events {
		accepted[i] = Accepted{Channel: e.Channel, Name: e.Name, Data: e.Data, SocketID: e.SocketID,
			At: now, Request: s.requests, Batch: i, Dropped: drop}
	}
	s.record.add(accepted)
	if drop {
		return
	}
	for _, e := range events {
		s.hub.publish(frame{Event: e.Name, Channel: e.Channel, Data: e.Data}, e.SocketID)
	}
}
