package event

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Pack is the event that carries several events of its room at once. It is sent to
// channels of kind [Packed] and to no others: a client that subscribes to one has asked
// for packs. Its data is a JSON array of two or more pairs, the name and the data of
// an event, both as they would be if it travelled alone, in the order of seq:
//
//	[["new-message",{"id":"…","roomcast":{"seq":42,…}}],["message-deleted",{"id":"…","roomcast":{"seq":43,…}}]]
//
// Which events share a pack is not fixed: a repeat may put the same events, with the
// same seq and the same bytes of data, into other company. An event without company
// travels as itself. No pack is in a pack.
const Pack = "packed"

// ErrPack is returned for data that no [Pack] has.
var ErrPack = errors.New("not a pack of events")

// PackSize is the length in bytes of a pack of size bytes once [AppendPack] has added
// an event; size 0 is no pack yet.
func PackSize(size int, name string, data []byte) int {
	pair := len(`[,]`) + len(quote(name)) + len(data)
	if size == 0 {
		return len("[]") + pair
	}
	return size + len(",") + pair
}

// AppendPack adds an event to a pack, or begins one if pack is empty. The result is
// whole after every call. data is copied as it is, and must be JSON.
func AppendPack(pack []byte, name string, data []byte) []byte {
	if len(pack) == 0 {
		pack = append(pack, '[')
	} else {
		pack[len(pack)-1] = ','
	}
	pack = append(append(append(pack, '['), quote(name)...), ',')
	return append(append(pack, data...), ']', ']')
}

// quote writes a name as a JSON text. What roomcast.send names its events is anything.
func quote(name string) string {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			b, _ := json.Marshal(name) // a string always marshals
			return string(b)
		}
	}
	return `"` + name + `"`
}

// Unpack is the inverse of [AppendPack]: the events of a pack's data, of which it
// knows no more than name and data. What is no pack is [ErrPack].
func Unpack(data []byte) ([]Event, error) {
	var pairs [][]json.RawMessage
	if err := json.Unmarshal(data, &pairs); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPack, err)
	}
	events := make([]Event, len(pairs))
	for i, pair := range pairs {
		if len(pair) != 2 || json.Unmarshal(pair[0], &events[i].Name) != nil {
			return nil, fmt.Errorf("%w: entry %d is no pair of name and data", ErrPack, i)
		}
		events[i].Data = pair[1]
	}
	return events, nil
}
