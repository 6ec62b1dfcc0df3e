package authorize

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"roomcast/shared/token"
)

// Bounds in bytes. With the keys around them they stay under the 1 kB that Pusher
// allows, even if JSON escapes every character of the name; an avatar needs none.
const (
	maxName   = 128
	maxAvatar = 512
)

// InfoFromToken shows a user as the user's own profile does: {"name": …,
// "avatar_url": …} out of user_metadata, each where there is one. Users write
// that themselves, so it is decoration and proves nothing: pages should print
// name as text, and trust the member's id alone. Email, phone, app_metadata and
// all the rest stay private. Faulty values are left out.
func InfoFromToken(_ context.Context, _ string, user token.Claims) (map[string]any, error) {
	var claims struct {
		Metadata map[string]any `json:"user_metadata"`
	}
	if json.Unmarshal(user.Raw, &claims) != nil {
		return nil, nil
	}
	text := func(key string) string {
		s, _ := claims.Metadata[key].(string) // another type is as good as none
		return s
	}
	info := make(map[string]any, 2)
	// The keys that Supabase's providers fill: full_name and name, avatar_url and picture.
	for _, key := range []string{"full_name", "name"} {
		if name := displayName(text(key)); name != "" {
			info["name"] = name
			break
		}
	}
	for _, key := range []string{"avatar_url", "picture"} {
		if avatar := text(key); isAvatar(avatar) {
			info["avatar_url"] = avatar
			break
		}
	}
	if len(info) == 0 {
		return nil, nil
	}
	return info, nil
}

// displayName drops what has no place in a line of text (control characters and
// marks that turn its direction, with which one name can pose as another) and
// cuts at a character's end.
func displayName(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s))
	if len(s) <= maxName {
		return s
	}
	cut := maxName
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.TrimSpace(s[:cut])
}

// isAvatar accepts an absolute https URL without credentials: no javascript:, no
// data:, nothing that makes other members' browsers call out in the clear.
func isAvatar(s string) bool {
	if len(s) > maxAvatar {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil
}
