package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

var (
	// ErrKind is returned for a change of a kind that has no rule.
	ErrKind = errors.New("no rule for this kind of table")
	// ErrOp is returned for an operation that has no rule.
	ErrOp = errors.New("no rule for this operation")
	// ErrRecord is returned for a record that is not a JSON object.
	ErrRecord = errors.New("record is not a JSON object")
)

// rule says what one operation on one kind of table becomes.
type rule struct {
	name string // the event; empty for a change browsers are not told
	ids  bool   // only the keys may leave: the text is gone and stays gone
}

func ruleFor(kind Kind, op Op) (rule, error) {
	type tableOp struct {
		kind Kind
		op   Op
	}
	switch (tableOp{kind, op}) {
	case tableOp{Messages, Insert}:
		return rule{name: NewMessage}, nil
	case tableOp{Messages, Update}:
		return rule{name: MessageUpdated}, nil
	case tableOp{Messages, Delete}:
		return rule{name: MessageDeleted, ids: true}, nil
	case tableOp{Members, Insert}:
		return rule{name: UserJoined}, nil
	case tableOp{Members, Update}:
		return rule{}, nil
	case tableOp{Members, Delete}:
		return rule{name: UserLeft}, nil
	case tableOp{Online, Insert}:
		return rule{name: UserOnline}, nil
	case tableOp{Online, Delete}:
		return rule{name: UserOffline}, nil
	}
	if kind != Messages && kind != Members && kind != Online {
		return rule{}, fmt.Errorf("%w: %q", ErrKind, string(kind))
	}
	return rule{}, fmt.Errorf("%w: %q", ErrOp, string(op))
}

// Translate turns a change into the event browsers get, and reports false when
// they are to get none. It is pure: the same change is the same event, byte for
// byte, however often it is sent.
//
// A record whose event would pass maxData bytes becomes a stub: its keys and
// "stub":true, which the client replaces by asking for the event over HTTP.
// With maxData 0 there is no limit.
//
// It returns [ErrKind], [ErrOp] or [ErrRecord] for a change no rule can read.
func Translate(c Change, maxData int) (Event, bool, error) {
	rule, err := ruleFor(c.Kind, c.Op)
	if err != nil || rule.name == "" {
		return Event{}, false, err
	}
	record := c.Record
	if rule.ids {
		if record, err = Pick(record, c.Keys); err != nil {
			return Event{}, false, err
		}
	}
	data, err := encode(record, c.Position, false)
	if err != nil {
		return Event{}, false, err
	}
	e := Event{Name: rule.name, Room: c.Room, Data: data}
	if maxData > 0 && len(data) > maxData {
		return stub(e, c)
	}
	return e, true, nil
}

// stub replaces the data of an event too large to be sent. Without a position
// there is nothing to fetch it by, so it goes out whole and Pusher refuses it.
func stub(e Event, c Change) (Event, bool, error) {
	if c.Position == nil {
		return e, true, nil
	}
	keys, err := Pick(c.Record, c.Keys)
	if err != nil {
		return Event{}, false, err
	}
	if e.Data, err = encode(keys, c.Position, true); err != nil {
		return Event{}, false, err
	}
	e.Stub = true
	return e, true, nil
}

// encode appends the reserved key to a record without touching the record's
// bytes: numbers keep their digits, text its escapes.
func encode(record json.RawMessage, p *Position, stub bool) (json.RawMessage, error) {
	body := bytes.TrimSpace(record)
	if len(body) < 2 || body[0] != '{' || body[len(body)-1] != '}' {
		return nil, ErrRecord
	}
	if p == nil {
		return body, nil
	}
	meta, err := json.Marshal(struct {
		*Position
		Stub bool `json:"stub,omitempty"`
	}{p, stub})
	if err != nil {
		return nil, fmt.Errorf("encode position: %w", err)
	}
	open := bytes.TrimRight(body[:len(body)-1], " \t\r\n")
	data := make([]byte, 0, len(open)+len(meta)+len(`,"roomcast":}`))
	data = append(data, open...)
	if len(open) > 1 {
		data = append(data, ',')
	}
	data = append(data, `"roomcast":`...)
	data = append(data, meta...)
	return append(data, '}'), nil
}

// Pick returns the object that has only the named keys of record, each with its
// bytes untouched, in the order of keys. Missing keys are left out. It returns
// [ErrRecord] when record is no object.
func Pick(record json.RawMessage, keys []string) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(record, &fields); err != nil || fields == nil {
		return nil, ErrRecord
	}
	out := []byte{'{'}
	seen := make(map[string]bool, len(keys))
	for _, key := range keys {
		value, ok := fields[key]
		if !ok || seen[key] {
			continue
		}
		seen[key] = true
		if len(out) > 1 {
			out = append(out, ',')
		}
		name, err := json.Marshal(key)
		if err != nil {
			return nil, fmt.Errorf("encode key: %w", err)
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}'), nil
}
