package forward

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"roomcast/shared/event"
	"roomcast/shared/web"
)

// column reads one column of a record as the text Postgres would make of it. It
// reports false for null, and a 422 that names the field when there is no such
// column or it is no scalar.
func column(record json.RawMessage, field, name string) (text string, known bool, err error) {
	raw, err := member(record, name)
	if err != nil {
		return "", false, web.BadRequest(field, "is not a JSON object")
	}
	fault := func(reason string) error {
		return &web.Error{Status: http.StatusUnprocessableEntity, Field: field + "." + name, Reason: reason}
	}
	switch {
	case raw == nil:
		return "", false, fault("is missing: a row without a room has no channel")
	case absent(raw):
		return "", false, nil
	case raw[0] == '"':
		text, err = unquote(raw)
		if err != nil {
			return "", false, web.BadRequest(field+"."+name, "is not a text")
		}
		return text, true, nil
	case raw[0] == '{' || raw[0] == '[':
		return "", false, fault("must be a text or a number")
	}
	return string(raw), true, nil
}

// unquote reads a JSON text. Ids have neither escapes nor faulty bytes, and need no copy
// but their own.
func unquote(raw json.RawMessage) (text string, err error) {
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner), nil
	}
	err = json.Unmarshal(raw, &text)
	return text, err
}

// member returns the value of an object's member, nil if there is none; of several
// with one name the last counts. It passes over the others in one reading: a map of
// them all cost more than the rest of a webhook's translation.
func member(object json.RawMessage, name string) (value json.RawMessage, err error) {
	dec := lenientDecoder(object)
	if begin, err := dec.ReadToken(); err != nil || begin.Kind() != '{' {
		return nil, event.ErrRecord
	}
	for dec.PeekKind() == '"' {
		key, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		if key.String() != name {
			if err := dec.SkipValue(); err != nil {
				return nil, err
			}
			continue
		}
		if err := readRaw(dec, &value); err != nil {
			return nil, err
		}
	}
	_, err = dec.ReadToken() // the end, or why there is none
	return value, err
}

// errUnusual says that a body is not what Supabase sends.
var errUnusual = errors.New("not a usual webhook")

// lenientDecoder takes what encoding/json takes: names that come twice, and bytes that
// are not UTF-8.
func lenientDecoder(text []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// readRaw reads any value, byte for byte.
func readRaw(dec *jsontext.Decoder, into *json.RawMessage) error {
	value, err := dec.ReadValue()
	*into = json.RawMessage(value.Clone()) // the decoder's own lasts until its next call
	return err
}

// readText reads a value that must be a text.
func readText(dec *jsontext.Decoder, into *string) error {
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != '"' {
		return errUnusual
	}
	*into = token.String()
	return nil
}
