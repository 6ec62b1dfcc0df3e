package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"roomcast/shared/pusher/pushertest"
)

// A hot room from Postgres to the app, through the real function and the real pusher-js:
// a client that asked for packs gets each message once and in order, in far fewer events.
func TestPackedRoom(t *testing.T) {
	modules := pushertest.NodeModules(t)
	t.Parallel()
	env := untilTheEnd(t, launchWith(t, map[string]string{"ROOM_CHANNELS": "private,packed"}))
	const messages = 200
	bot := exec.CommandContext(t.Context(), "node", "--experimental-websocket", "--no-warnings", "testdata/packed.mjs")
	bot.Env = append(os.Environ(), "MODULES="+modules, fmt.Sprint("MESSAGES=", messages))
	for _, name := range []string{"PUSHER_HOST", "PUSHER_KEY", "ROOMCAST_URL", "MEMBER_JWT", "DEMO_ROOM"} {
		bot.Env = append(bot.Env, name+"="+env[name])
	}
	bot.Stderr = testLog{t}
	out, err := bot.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bot.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "live" {
		t.Fatalf("the bot is not live: %q, %v", lines.Text(), bot.Wait())
	}
	var want []string
	for i := range messages {
		want = append(want, fmt.Sprint("message ", i, " ", strings.Repeat("x", i)))
	}
	if _, err := connect(t, env).Exec(t.Context(), `insert into public.messages (room_id, user_id, content)
		select $1, $2, text from unnest($3::text[]) with ordinality as t (text, n) order by n`, env["DEMO_ROOM"], memberID, want); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Contents       []string
		Packs, Singles int
	}
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &got) != nil {
		t.Fatalf("the bot says %q, %v", lines.Text(), bot.Wait())
	}
	if err := bot.Wait(); err != nil {
		t.Error(err)
	}
	if !slices.Equal(got.Contents, want) {
		t.Errorf("not each once and in order: %q", got.Contents)
	}
	if got.Packs == 0 || got.Packs+got.Singles > messages/4 {
		t.Errorf("%d packs and %d single events for %d messages", got.Packs, got.Singles, messages)
	}
}
