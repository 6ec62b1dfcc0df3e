package pusher

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strconv"
	"sync"
	"time"
)

// signer makes HMAC-SHA256 of one secret. The key's own two blocks are hashed once:
// resetting a hash.Hash of crypto/hmac returns to the state behind them.
type signer struct {
	macs sync.Pool // of *mac
}

type mac struct {
	hash.Hash
	sum [sha256.Size]byte
}

func newSigner(secret string) *signer {
	s := &signer{}
	s.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, []byte(secret))} }
	return s
}

// appendHex appends the signature of the text, in hex.
func (s *signer) appendHex(dst, text []byte) []byte {
	m := s.macs.Get().(*mac)
	defer s.macs.Put(m)
	m.Reset()
	m.Write(text)
	return hex.AppendEncode(dst, m.Sum(m.sum[:0]))
}

// matches reports whether sum is the text's HMAC, in constant time.
func (s *signer) matches(sum, text []byte) bool {
	m := s.macs.Get().(*mac)
	defer s.macs.Put(m)
	m.Reset()
	m.Write(text)
	return hmac.Equal(sum, m.Sum(m.sum[:0]))
}

// appendQuery appends the query that signs a POST of body to path: the parameters in the
// order of their names, and the signature, which is of all others, among them where
// pusher-http-go has it
// (https://pusher.com/docs/channels/library_auth_reference/rest-api/#authentication).
func (c *Client) appendQuery(dst []byte, path string, body []byte, at time.Time) []byte {
	var stack [512]byte
	text := append(append(append(stack[:0], "POST\n"...), path...), "\nauth_key="...)
	text = append(text, c.cfg.Key...)
	key := len(text)
	text = strconv.AppendInt(append(text, "&auth_timestamp="...), at.Unix(), 10)
	sum := md5.Sum(body)
	text = hex.AppendEncode(append(text, "&auth_version=1.0&body_md5="...), sum[:])
	dst = append(dst, text[len("POST\n")+len(path)+len("\n"):key]...)
	dst = c.signer.appendHex(append(dst, "&auth_signature="...), text)
	return append(dst, text[key:]...)
}
