package outbox_test

import "testing"

// An ack does not wait for the disk: what a crash takes back is sent again. The session's
// other transactions wait as before.
func TestAckDoesNotWaitForTheDisk(t *testing.T) {
	c := newChat(t)
	c.Exec(`set synchronous_commit = on`)
	c.Exec(`begin`)
	c.Exec(`select roomcast.ack(array[$1], '{1}', '{1}', '{0}')`, roomA)
	if got := one[string](c, `show synchronous_commit`); got != "off" {
		t.Errorf("with an ack synchronous_commit is %s", got)
	}
	c.Exec(`commit`)
	if got := one[string](c, `show synchronous_commit`); got != "on" {
		t.Errorf("behind an ack synchronous_commit is %s", got)
	}
}
