package pusher

// The body of POST /apps/{id}/batch_events, byte for byte as pusher-http-go writes it
// (encode_test.go compares them): {"batch":[{"channel":…,"name":…,"data":"…"},…]}.

// appendBatch appends the body. Channels hold no byte that JSON would escape.
func appendBatch(dst []byte, events []Event) []byte {
	dst = append(dst, `{"batch":[`...)
	for i := range events {
		e := &events[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"channel":"`...)
		dst = append(dst, e.Channel...)
		dst = append(dst, `","name":`...)
		dst = appendString(dst, e.Name)
		dst = append(dst, `,"data":`...)
		dst = appendString(dst, e.Data)
		dst = append(dst, '}')
	}
	return append(dst, `]}`...)
}

// appendString appends valid UTF-8 as a JSON string, with the escapes of encoding/json:
// of HTML's three bytes too, and of U+2028 and U+2029.
func appendString[S string | []byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	start := 0 // of what is not appended yet
	for i := 0; i < len(s); i++ {
		b := s[i]
		if b >= ' ' && b != '"' && b != '\\' && b != '<' && b != '>' && b != '&' && b != 0xE2 {
			continue
		}
		if b == 0xE2 {
			if i+2 < len(s) && s[i+1] == 0x80 && s[i+2]&^1 == 0xA8 {
				dst = append(append(dst, s[start:i]...), `\u202`...)
				dst = append(dst, lowerHex[s[i+2]&15])
				i += 2
				start = i + 1
			}
			continue
		}
		dst = appendEscape(append(dst, s[start:i]...), b)
		start = i + 1
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

const lowerHex = "0123456789abcdef"

// appendEscape appends a byte below 0x80 that does not stand for itself.
func appendEscape(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', lowerHex[b>>4], lowerHex[b&15])
}
