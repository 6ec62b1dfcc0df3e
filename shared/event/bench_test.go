package event_test

import (
	"testing"

	"roomcast/shared/event"
)

// What every event and every authorization pays: its channel's name, written or
// read; and every deletion: its record cut down to the keys.

func BenchmarkChannelName(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.ChannelName(event.Private, "5e599a19-1d26-476a-841a-1b2ed9586a78"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseChannel(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := event.ParseChannel("private-room-5e599a19-1d26-476a-841a-1b2ed9586a78"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	record := []byte(`{"id": "5e599a19-1d26-476a-841a-1b2ed9586a78", "content": "a message of usual length, more or less", "room_id": "11111111-1111-4111-8111-111111111110", "user_id": null, "created_at": "2026-11-22T21:58:39.714466+00:00"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Pick(record, []string{"id", "room_id"}); err != nil {
			b.Fatal(err)
		}
	}
}
