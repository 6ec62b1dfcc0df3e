package access_test

import (
	"fmt"
	"strings"
	"testing"

	"roomcast/shared/access"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

// A server that logs every statement, with its parameters, has none of a user's claims in
// its log, unless a function of the team's looks at them.
func TestClaimsStayOutOfTheServersLog(t *testing.T) {
	log := outboxtest.StartLogged(t)
	url := log.URL
	if err := outboxtest.InstallChat(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	exec := func(sql string) {
		t.Helper()
		if err := outboxtest.Exec(t.Context(), url, sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`insert into room_participants (room_id, user_id) values ('` + roomA + `', '` + user1 + `')`)
	db, err := outbox.Open(url, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	claims := []byte(`{"role":"authenticated","email":"someone@example.com"}`)
	ask := func(s access.Store) (answers []string) {
		t.Helper()
		one, err := s.CanRead(t.Context(), roomA, user1, claims)
		many, errMany := s.CanReadAll(t.Context(), []string{roomA, roomB}, []string{user1, user1}, [][]byte{claims, claims})
		_, _, errInfo := s.MemberInfo(t.Context(), roomA, user1, claims)
		_, errInbox := s.Inbox(t.Context(), user1, claims)
		for _, err := range []error{err, errMany, errInfo, errInbox} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return []string{fmt.Sprint(one), fmt.Sprint(*many[0]), fmt.Sprint(*many[1])}
	}
	tells := func() bool {
		t.Helper()
		return strings.Contains(log.SoFar(t), "someone@example.com")
	}
	store := access.Store{DB: db, Claims: &access.Claims{}}
	if got := fmt.Sprint(ask(store)); got != "[true true false]" || tells() {
		t.Errorf("by membership: %s, the log tells claims: %v", got, tells())
	}
	exec(`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean language sql stable as
		$$ select $1 = '` + roomB + `' $$`)
	if got := fmt.Sprint(ask(store)); got != "[false false true]" || tells() {
		t.Errorf("by a function that looks at no claims: %s, the log tells claims: %v", got, tells())
	}
	exec(`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean language sql stable as
		$$ select $3 ->> 'role' = 'authenticated' $$`)
	if got := fmt.Sprint(ask(store)); got != "[true true true]" || !tells() {
		t.Errorf("by the claims: %s, the log tells them: %v", got, tells())
	}
}
