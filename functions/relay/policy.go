package relay

import (
	"time"

	"roomcast/shared/backoff"
)

// How long the relay waits after what failure. Every wait is jittered, and longer where
// Pusher asks for it with Retry-After. That is also how long rows wait after the failure has
// ended: 75 s at most for refusedBackoff, 25 s for the others, jitter included.
var (
	roomBackoff       = backoff.Span{First: 100 * time.Millisecond, Most: 20 * time.Second} // one room's batch failed, others go on
	pusherBackoff     = backoff.Span{First: 500 * time.Millisecond, Most: 20 * time.Second} // Pusher fails every caller
	credentialBackoff = backoff.Span{First: 5 * time.Second, Most: 20 * time.Second}        // 401: until somebody corrects secret or clock
	refusedBackoff    = backoff.Span{First: 15 * time.Second, Most: time.Minute}            // 403: quota or disabled app
	databaseBackoff   = backoff.Span{First: 100 * time.Millisecond, Most: 5 * time.Second}
	revokeBackoff     = backoff.Span{First: 250 * time.Millisecond, Most: 4 * time.Second} // a user who left is not disconnected yet
)

// numberEvery is how often rows are numbered while Pusher refuses all: the part of a page's
// wait that is ours.
const numberEvery = 2 * time.Second

const (
	leaseMargin = 500 * time.Millisecond // given up before the lease ends, for the answer under way
	leaveMargin = 700 * time.Millisecond // handed back before we must be gone, for the last ack
	roomTries   = 3                      // in a worker; then the room goes back to the database
	failedRooms = 3                      // so many different rooms failing in a row mean Pusher, not a room
	probeRows   = 5                      // claimed to see whether Pusher is back
	holdTries   = 2                      // disconnects that fail in a worker; then the room goes back: other rooms wait for its ack
)
