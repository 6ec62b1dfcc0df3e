package revoke

import (
	"sync"
	"time"
)

// waiting are the second disconnects that this process has queued and that no relay, as far
// as it knows, has confirmed, by the rooms they hold up when they are overdue. What it has
// no room for holds nothing up.
type waiting struct {
	mu    sync.Mutex
	users map[string]*second
	rooms map[string]map[string]bool // users by room
}

// second is a user's second disconnect.
type second struct {
	due   time.Time // by the database, at the earliest
	dueBy time.Time // and at the latest
	rooms []string
}

const (
	maxWaiting      = 1 << 14 // users
	maxWaitingRooms = 256     // of one user
	maxPending      = 1000    // users that a round asks for
)

func newWaiting() *waiting {
	return &waiting{users: map[string]*second{}, rooms: map[string]map[string]bool{}}
}

// add notes that a user who left a room is to be disconnected again, from due on as the
// database sees it, which is not after dueBy.
func (w *waiting) add(user, room string, due, dueBy time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.users[user]
	if s == nil {
		if len(w.users) == maxWaiting {
			return
		}
		s = &second{}
		w.users[user] = s
	}
	s.due, s.dueBy = due, dueBy
	if w.rooms[room][user] || len(s.rooms) == maxWaitingRooms {
		return
	}
	if w.rooms[room] == nil {
		w.rooms[room] = map[string]bool{}
	}
	w.rooms[room][user] = true
	s.rooms = append(s.rooms, room)
}

// overdue reports whether anybody who left the room should have been disconnected again
// by now.
func (w *waiting) overdue(room string, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for user := range w.rooms[room] {
		if now.After(w.users[user].dueBy.Add(overdueBy)) {
			return true
		}
	}
	return false
}

// nextDue returns when the next of these disconnects is due after now, or latest if that
// is sooner.
func (w *waiting) nextDue(now, latest time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.users {
		if s.dueBy.After(now) && s.dueBy.Before(latest) {
			latest = s.dueBy
		}
	}
	return latest
}

// confirm forgets a user whose disconnect began at a time, unless it is due later: they
// left another room meanwhile.
func (w *waiting) confirm(user string, began time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.users[user]; s != nil && !s.due.After(began) {
		w.drop(user, s)
	}
}

// dueUsers are users whose second disconnect was due at a time, at most maxPending of them.
func (w *waiting) dueUsers(at time.Time) (users []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for user, s := range w.users {
		if at.After(s.dueBy) && len(users) < maxPending {
			users = append(users, user)
		}
	}
	return users
}

// forget forgets those of the users whose disconnect was due at a time. Who left another
// room since is due later, and stays.
func (w *waiting) forget(users []string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, user := range users {
		if s := w.users[user]; s != nil && at.After(s.dueBy) {
			w.drop(user, s)
		}
	}
}

func (w *waiting) drop(user string, s *second) {
	delete(w.users, user)
	for _, room := range s.rooms {
		if delete(w.rooms[room], user); len(w.rooms[room]) == 0 {
			delete(w.rooms, room)
		}
	}
}
