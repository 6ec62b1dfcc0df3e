package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

var (
	// ErrKind is returned for a change of a kind that has no rule.
	ErrKind = errors.New("no rule for this kind of table")
	// ErrOp is returned for an operation that has no rule.
	ErrOp = errors.New("no rule for this operation")
	// ErrRecord is returned for a record that is not a JSON object.
	ErrRecord = errors.New("record is not a JSON object")
)

// nameOf returns the name of the change's event.
func nameOf(c Change) (string, error) {
	switch c.Op {
	case Send:
		return c.Name, nil
	case Bulk:
		return BulkChange, nil
	}
	var by map[Op]string
	switch c.Kind {
	case Rows:
		if c.Name == Message || c.Name == "" {
			by = messageNames
			break
		}
		switch c.Op {
		case Insert:
			return "new-" + c.Name, nil
		case Update:
			return c.Name + "-updated", nil
		case Delete:
			return c.Name + "-deleted", nil
		}
	case Members:
		by = memberNames
	case Online:
		by = presenceNames
	default:
		return "", fmt.Errorf("%w: %q", ErrKind, string(c.Kind))
	}
	if name, ok := by[c.Op]; ok {
		return name, nil
	}
	return "", fmt.Errorf("%w: %q", ErrOp, string(c.Op))
}

var (
	messageNames  = map[Op]string{Insert: NewMessage, Update: MessageUpdated, Delete: MessageDeleted}
	memberNames   = map[Op]string{Insert: UserJoined, Update: UserUpdated, Delete: UserLeft}
	presenceNames = map[Op]string{Insert: UserOnline, Delete: UserOffline}
)

// Translate turns a change into the event browsers get. It is pure: the same change is
// the same event, byte for byte, however often it is sent.
//
// The event of a deleted row carries its keys only: the text is gone and stays gone. A
// record whose event would pass maxData bytes becomes a stub: its keys and "stub":true,
// which the client replaces by fetching the event over HTTP; without the keys where they
// alone are too large. With maxData 0 there is no limit.
//
// It returns [ErrKind], [ErrOp] or [ErrRecord] for a change that cannot be translated.
func Translate(c Change, maxData int) (Event, error) {
	name, err := nameOf(c)
	if err != nil {
		return Event{}, err
	}
	record := c.Record
	if c.Op == Delete && c.Kind != Members && c.Kind != Online {
		if record, err = Pick(record, c.Keys); err != nil {
			return Event{}, err
		}
	}
	data, err := encode(record, c.Position, c.Old, c.Stub)
	if err != nil {
		return Event{}, err
	}
	e := Event{Name: name, Room: c.Room, Data: data, Stub: c.Stub}
	if maxData > 0 && len(data) > maxData {
		return stub(e, c, maxData)
	}
	return e, nil
}

// Bare is the event that stands for a change whose content must not be heard for now: a
// number and a time, by which those who may can fetch it.
func Bare(c Change) Event {
	data, err := encode(json.RawMessage(`{}`), c.Position, nil, true)
	if err != nil { // an object and a position always encode
		data = json.RawMessage(`{}`)
	}
	return Event{Name: Held, Room: c.Room, Data: data, Stub: true}
}

// stub replaces the data of an event too large to be sent. Without a position
// there is nothing to fetch it by, so it goes out whole and Pusher refuses it.
func stub(e Event, c Change, maxData int) (Event, error) {
	if c.Position == nil {
		return e, nil
	}
	keys, err := Pick(c.Record, c.Keys)
	if err != nil {
		return Event{}, err
	}
	if e.Data, err = encode(keys, c.Position, nil, true); err != nil {
		return Event{}, err
	}
	if len(e.Data) > maxData {
		e.Data, err = encode(json.RawMessage(`{}`), c.Position, nil, true)
	}
	e.Stub = true
	return e, err
}

// encode appends the reserved key to a record without touching the record's
// bytes: numbers keep their digits, text its escapes.
func encode(record json.RawMessage, p *Position, old json.RawMessage, stub bool) (json.RawMessage, error) {
	body := bytes.TrimSpace(record)
	if len(body) < 2 || body[0] != '{' || body[len(body)-1] != '}' {
		return nil, ErrRecord
	}
	if p == nil {
		return body, nil
	}
	open := bytes.TrimRight(body[:len(body)-1], " \t\r\n")
	const reserved = len(`,"roomcast":{"seq":9223372036854775807,"epoch":"","at":"","old":,"stub":true}}`)
	data := make([]byte, 0, len(open)+reserved+len(p.Epoch)+len(p.At)+len(old))
	data = append(data, open...)
	if len(open) > 1 {
		data = append(data, ',')
	}
	data = strconv.AppendInt(append(data, `"roomcast":{"seq":`...), p.Seq, 10)
	data = appendText(append(data, `,"epoch":`...), p.Epoch)
	data = appendText(append(data, `,"at":`...), p.At)
	if len(old) > 0 {
		data = append(append(data, `,"old":`...), old...)
	}
	if stub {
		data = append(data, `,"stub":true`...)
	}
	return append(data, '}', '}'), nil
}

// appendText appends a JSON string. Epochs and times hold nothing that would be escaped;
// what does is left to encoding/json.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if b := s[i]; b < ' ' || b > '~' || b == '"' || b == '\\' || b == '<' || b == '>' || b == '&' {
			text, _ := json.Marshal(s) // a string always encodes
			return append(dst, text...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// Pick returns the object that has only the named keys of record, each with its
// bytes untouched, in the order of keys. Missing keys are left out. It returns
// [ErrRecord] when record is no object.
func Pick(record json.RawMessage, keys []string) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	err := json.Unmarshal(record, &fields)
	if err != nil && TooDeep(record) {
		fields, err = split(record)
	}
	if err != nil || fields == nil {
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

// maxDepth is how far JSON may be nested for encoding/json to read or write it within an
// answer, which nests it once more. Postgres takes a little more than encoding/json does,
// depending on its max_stack_depth.
const maxDepth = 9_900

// TooDeep reports whether JSON is nested too far for encoding/json.
func TooDeep(text []byte) bool {
	if len(text) < 2*maxDepth {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case inString && b == '\\':
			i++
		case b == '"':
			inString = !inString
		case inString:
		case b == '[', b == '{':
			if depth++; depth > maxDepth {
				return true
			}
		case b == ']', b == '}':
			depth--
		}
	}
	return false
}

// split takes an object apart by its tokens, which have no limit of depth.
func split(record json.RawMessage) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(record))
	d.UseNumber()
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, ErrRecord
	}
	fields := map[string]json.RawMessage{}
	for d.More() {
		token, err := d.Token()
		key, isText := token.(string)
		if err != nil || !isText {
			return nil, ErrRecord
		}
		start := d.InputOffset()
		for depth, more := 0, true; more; more = depth > 0 {
			token, err := d.Token()
			if err != nil {
				return nil, ErrRecord
			}
			switch token {
			case json.Delim('['), json.Delim('{'):
				depth++
			case json.Delim(']'), json.Delim('}'):
				depth--
			}
		}
		fields[key] = bytes.TrimLeft(record[start:d.InputOffset()], ": \t\r\n")
	}
	return fields, nil
}
