package access

import (
	"errors"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
)

// Claims keeps users' claims out of the database where nothing there looks at them, and so
// out of its log: with log_statement = 'all' a server writes every parameter of every call.
// Its zero value sends none until a function of the team's asks for them, and then always.
type Claims struct{ wanted atomic.Bool }

// needClaims is what roomcast.need_claims raises.
const needClaims = "RC001"

// ask runs a call with the claims left out, if they may be, and again with them if it says
// that it looks at them. given is what to pass for the claims; nil without.
func (c *Claims) ask(claims func() any, call func(given any) error) error {
	if c == nil || c.wanted.Load() {
		return call(claims())
	}
	err := call(nil)
	if fault := (*pgconn.PgError)(nil); errors.As(err, &fault) && fault.Code == needClaims {
		c.wanted.Store(true)
		return call(claims())
	}
	return err
}
