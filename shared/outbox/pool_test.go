package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

// A database whose transactions do not see each other's commits by default, or may not
// write, is served all the same.
func TestDatabaseOfOtherDefaults(t *testing.T) {
	for _, setting := range []string{
		`default_transaction_isolation = 'repeatable read'`, `default_transaction_isolation = 'serializable'`, `default_transaction_read_only = on`,
		`datestyle = 'German'`, `intervalstyle = 'sql_standard'`, `extra_float_digits = -3`, `timezone = 'Asia/Kathmandu'`,
	} {
		t.Run(setting, func(t *testing.T) {
			c := newChat(t)
			c.Exec(insertMessage, roomA, user1, "before")
			c.Exec(fmt.Sprintf(`alter database %s set %s`, one[string](c, `select current_database()`), setting))
			c.DB = outboxtest.Open(t, c.URL)
			if err := c.DB.StartAwake(t.Context(), 5*time.Second, ""); err != nil {
				t.Fatal(err)
			}
			c.AckAll(c.Claim("r"))
			answer := c.await()
			c.Exec(insertMessage, roomA, user1, "meanwhile") // on a connection from before
			if !<-answer {
				t.Error("what is committed meanwhile is not seen")
			}
			c.WantClaim(c.Claim("r")[roomA], "2 INSERT meanwhile")
			if h, err := c.DB.History(t.Context(), outbox.HistoryQuery{Room: roomA, UserID: user1, Max: 10}); err != nil || len(h.Changes) != 2 {
				t.Errorf("history: %+v, %v", h, err)
			}
		})
	}
}

// A pool that may have more connections than the role waits for those it has.
func TestRoleWithFewConnections(t *testing.T) {
	c := newChat(t)
	c.Exec(`alter role roomcast_relay login password 'relay' connection limit 2`)
	t.Cleanup(func() {
		_, _ = c.Conn.Exec(context.Background(), `alter role roomcast_relay nologin connection limit -1`)
	})
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("roomcast_relay", "relay")
	db, err := outbox.Open(u.String(), 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var failed atomic.Int64
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			for range 5 {
				if _, err := db.History(ctx, outbox.HistoryQuery{Room: roomA, UserID: user1, Max: 10}); err != nil {
					failed.Add(1)
					t.Log(err)
				}
			}
		})
	}
	wait.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of 100 questions got no answer", n)
	}
	// With none to wait for, it says so when time is up.
	c.Exec(`alter role roomcast_relay connection limit 0`)
	other, err := outbox.Open(u.String(), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := other.Ping(ctx); !errors.Is(err, outbox.ErrBusy) {
		t.Errorf("no connection to be had: %v, want ErrBusy", err)
	}
}

// The outbox belongs to the first Pusher app that claims; another is refused by name.
func TestAnotherPusherApp(t *testing.T) {
	c := newChat(t)
	open := func(app string) *outbox.DB {
		db, err := outbox.Open(c.URL, 2, outbox.WithApp(app))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		return db
	}
	c.Exec(insertMessage, roomA, user1, "hello")
	production, staging := open("111"), open("222")
	if err := production.StartAwake(t.Context(), time.Second, ""); err != nil {
		t.Fatal(err)
	}
	c.Exec(`select roomcast.leave_awake()`)
	if err := staging.StartAwake(t.Context(), 5*time.Second, ""); !errors.Is(err, outbox.ErrOtherApp) {
		t.Errorf("staging starts: %v", err)
	}
	if one[bool](c, `select roomcast.is_awake()`) {
		t.Error("who was refused holds the awake lease")
	}
	if rooms, err := staging.Claim(t.Context(), "r", someRows); !errors.Is(err, outbox.ErrOtherApp) || len(rooms) > 0 {
		t.Errorf("staging claims: %v, %v", rooms, err)
	}
	if rooms, err := production.Claim(t.Context(), "r", someRows); err != nil || len(rooms) != 1 {
		t.Errorf("production claims: %v, %v", rooms, err)
	}
	c.Exec(`select roomcast.configure(pusher_app => '222')`)
	if err := staging.StartAwake(t.Context(), time.Second, ""); err != nil {
		t.Errorf("after configure: %v", err)
	}
}

// Connections that died while the machine slept are found out in half a second, all of
// them, and dialled again.
func TestConnectionsThatDiedAsleep(t *testing.T) {
	c := newChat(t)
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	silent, address := hole(t, u.Host)
	u.Host = address
	db := outboxtest.Open(t, u.String())
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if _, err := db.Await(t.Context(), 200*time.Millisecond, time.Millisecond); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	silent.Store(true) // for the connections there are
	c.Exec(`select pg_sleep(1.1)`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	start := time.Now()
	if _, err := db.HasWaiting(ctx); err != nil {
		t.Fatalf("after %s: %v", time.Since(start), err)
	}
}

// hole passes connections on, and drops what comes over those that were there when silent
// became true.
func hole(t *testing.T, server string) (silent *atomic.Bool, address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	silent = &atomic.Bool{}
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", server)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _, _ = near.Close(), far.Close() })
			late := silent.Load()
			pass := func(to, from net.Conn) {
				buffer := make([]byte, 1<<16)
				for {
					n, err := from.Read(buffer)
					if err != nil {
						_ = to.Close()
						return
					}
					if late || !silent.Load() {
						_, _ = to.Write(buffer[:n])
					}
				}
			}
			go pass(far, near)
			go pass(near, far)
		}
	}()
	return silent, listener.Addr().String()
}
