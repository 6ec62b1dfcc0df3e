package event

// IsChannelName reports whether Pusher takes s as a channel's name: 1 to
// [MaxChannelName] bytes of its alphabet.
func IsChannelName(s string) bool { return len(s) <= MaxChannelName && InChannelAlphabet(s) }

// InChannelAlphabet reports whether s is not empty and of A-Za-z0-9_-=@,.; alone,
// which are the bytes of channel names and of the ids of signed-in users
// (pusher.com/docs/channels/using_channels/channels/#channel-naming-conventions).
func InChannelAlphabet(s string) bool {
	for i := range len(s) {
		if !plain(s[i]) && s[i] != '=' {
			return false
		}
	}
	return s != ""
}
