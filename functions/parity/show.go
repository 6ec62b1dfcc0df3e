package parity

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"roomcast/shared/web"
)

// Show handles GET /parity: the parity report, as a page to print, as JSON or as text, by
// ?format= or Accept. Repeats are harmless.
//
// It wants PARITY_SECRET: as a bearer token, or, since nobody can give a browser one,
// as the password of HTTP Basic, with any user name; a browser asks for it. Never in
// the URL, which histories, logs and referrers keep.
func (h *Handler) Show(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Accept")
	if h.store == nil {
		return errForwardOnly
	}
	ask, err := ParseAsk(r.URL.RawQuery)
	if err != nil {
		return err
	}
	form, err := formatOf(r.URL.Query(), func(mediaType string) bool {
		return strings.Contains(r.Header.Get("Accept"), mediaType)
	})
	if err != nil {
		return err
	}
	report, err := h.compile(r.Context(), ask)
	switch {
	case r.Context().Err() != nil:
		return r.Context().Err()
	case err != nil:
		return web.Unavailable("the report cannot be read right now", 5*time.Second, err)
	}
	return send(w, report, form)
}

// Operator is the credential of GET /parity, in either way of showing the secret. Two
// Authorization headers are none. The answer to a missing one offers Basic, as browsers
// open a dialogue for nothing else.
func Operator(secrets *web.Secrets) func(r *http.Request) (*http.Request, error) {
	return func(r *http.Request) (*http.Request, error) {
		secret, ok := web.Bearer(r)
		if !ok && len(r.Header.Values("Authorization")) == 1 {
			_, secret, _ = r.BasicAuth()
		}
		err := secrets.Check(r, secret)
		var answer *web.Error
		if errors.As(err, &answer) && answer.Status == http.StatusUnauthorized {
			answer.Reason = "wants PARITY_SECRET, as a bearer token or as the password of HTTP Basic"
			answer.Challenge = `Basic realm="Roomcast: any name, PARITY_SECRET as the password", charset="UTF-8"`
		}
		return r, err
	}
}

// compile makes the report that is asked for: where nothing says which, of the dual run
// while it has receipts, and else of delivery.
func (h *Handler) compile(ctx context.Context, ask Ask) (readable, error) {
	if ask.Report != reportDelivery {
		report, err := Compile(ctx, h.store, ask, h.now())
		if err != nil || ask.Report == reportParity || report.Receipts > 0 {
			return report, err
		}
		if d, err := CompileDelivery(ctx, h.store, ask.Hours, h.now()); err != nil || d.Receipts > 0 {
			return d, err
		}
		return report, nil
	}
	return CompileDelivery(ctx, h.store, ask.Hours, h.now())
}

func send(w http.ResponseWriter, report readable, form format) error {
	if form == formatJSON {
		return web.WriteJSON(w, http.StatusOK, report)
	}
	var body bytes.Buffer
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	if form == formatPage {
		header.Set("Content-Type", "text/html; charset=utf-8")
		// This answer alone may style itself, by this very sheet and no other.
		header.Set("Content-Security-Policy", "default-src 'none'; style-src '"+sheetHash()+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		if err := writePage(&body, report); err != nil {
			return err
		}
	} else if err := report.WriteText(&body); err != nil {
		return err
	}
	_, _ = w.Write(body.Bytes()) // a caller who is gone is nobody to tell
	return nil
}
