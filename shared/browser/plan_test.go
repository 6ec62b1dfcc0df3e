package browser_test

import (
	"errors"
	"net/http/httptest"
	"testing"

	"roomcast/shared/browser"
)

func TestPlan(t *testing.T) {
	for text, want := range map[string]string{
		"both":                "{\"mode\":\"both\"}\n",
		` {"mode":"pusher"} `: "{\"mode\":\"pusher\"}\n",
		`{"mode":"both","share":{"pusher":0.1,"supabase":0.5},"rooms":{"a b":"supabase"}}`: `{"mode":"both","share":{"pusher":0.1,"supabase":0.5},"rooms":{"a b":"supabase"}}` + "\n",
	} {
		p, err := browser.ParsePlan(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		w := httptest.NewRecorder()
		if err := p.Serve(w, nil); err != nil || w.Body.String() != want {
			t.Errorf("%s: served %s, %v", text, w.Body, err)
		}
	}
	for _, text := range []string{
		"", "Pusher", "neither", "{", `{"mode":"both"} x`, `{"mode":"both","shares":{}}`, `{}`,
		`{"mode":"both","share":{"pusher":1.5}}`, `{"mode":"both","share":{"pusher":0.6,"supabase":0.6}}`,
		`{"mode":"both","share":{"fax":0.1}}`, `{"mode":"both","rooms":{"r":"fax"}}`,
	} {
		if _, err := browser.ParsePlan(text); !errors.Is(err, browser.ErrPlan) {
			t.Errorf("%q: %v, want ErrPlan", text, err)
		}
	}
}
