package outbox_test

import (
	"testing"

	"roomcast/shared/outbox/outboxtest"
)

const (
	roomA = outboxtest.RoomA
	roomB = outboxtest.RoomB
	user1 = outboxtest.User1
	user2 = outboxtest.User2

	insertMessage = outboxtest.InsertMessage
)

// chat gives the fixture this package's questions.
type chat struct{ *outboxtest.Fixture }

func newChat(t *testing.T) *chat {
	t.Helper()
	return &chat{outboxtest.NewFixture(t)}
}

func one[T any](c *chat, sql string, args ...any) T {
	c.Helper()
	return outboxtest.One[T](c.Fixture, sql, args...)
}
