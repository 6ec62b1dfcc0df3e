package token

import (
	"bytes"
	"encoding/json"
)

// eachMember calls do with the name and the text of the value of each member of a JSON
// object, in their order. The object must be valid, and nothing around it. Claims are read so
// because encoding/json makes a copy of each member, of which we want nine.
func eachMember(object []byte, do func(name, value []byte)) {
	for rest := skipSpace(object[1:]); rest[0] != '}'; {
		end := stringEnd(rest)
		name := rest[:end]
		rest = skipSpace(skipSpace(rest[end:])[1:]) // behind the colon
		end = valueEnd(rest)
		do(memberName(name), rest[:end])
		if rest = skipSpace(rest[end:]); rest[0] == ',' {
			rest = skipSpace(rest[1:])
		}
	}
}

// memberName is what a name in quotes says.
func memberName(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var name string
	_ = json.Unmarshal(quoted, &name) // valid, as all of the object
	return []byte(name)
}

func skipSpace(text []byte) []byte {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\t' || text[0] == '\r' || text[0] == '\n') {
		text = text[1:]
	}
	return text
}

// stringEnd is the length of the string that text begins with.
func stringEnd(text []byte) int {
	for i := 1; ; i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// valueEnd is the length of the value that text begins with.
func valueEnd(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i += stringEnd(text[i:]) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 { // the object's own, behind a number or a word
				return i
			}
			depth--
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 { // a string, an object or a list has ended
			return i + 1
		}
	}
	return len(text)
}
