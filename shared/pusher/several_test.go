package pusher

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// One request reaches many channels, signed as Pusher wants it (the emulator in pushertest
// checks that), with the data as it was given.
func TestPublishToSeveral(t *testing.T) {
	var got struct {
		Name     string
		Channels []string
		Data     string
	}
	var path string
	c := against(t, func(_ http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if path = r.URL.Path; err != nil || json.Unmarshal(raw, &got) != nil || r.URL.Query().Get("body_md5") == "" {
			t.Errorf("received %q, %v", raw, err)
		}
	})
	var channels []string
	for i := range MaxChannels {
		channels = append(channels, fmt.Sprint("private-user-", i))
	}
	if err := c.PublishToSeveral(t.Context(), channels, "room-activity", []byte(`{"room":"<é>"}`)); err != nil {
		t.Fatal(err)
	}
	if path != "/apps/"+c.cfg.AppID+"/events" || got.Name != "room-activity" || got.Data != `{"room":"<é>"}` || len(got.Channels) != MaxChannels {
		t.Errorf("%s: %s %s to %d channels", path, got.Name, got.Data, len(got.Channels))
	}
	for what, tc := range map[string]struct {
		channels []string
		want     error
	}{
		"none": {nil, ErrNoEvents}, "too many": {append(channels, "x"), ErrTooMany},
		"a bad name": {[]string{"private-a", "a:b"}, ErrChannel}, "an encrypted one": {[]string{"private-encrypted-a"}, ErrChannel},
	} {
		if err := c.PublishToSeveral(t.Context(), tc.channels, "n", []byte("{}")); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
