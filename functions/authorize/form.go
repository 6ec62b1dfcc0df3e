package authorize

import (
	"net/http"
	"net/url"

	"roomcast/shared/pusher"
	"roomcast/shared/web"
)

const (
	formType = "application/x-www-form-urlencoded"
	// maxForm bounds the body in bytes. A full one has about 600: a channel name
	// of 164, percent-encoded. The rest is for parameters that a page adds.
	maxForm = 4 << 10
)

// form is what pusher-js posts, by name: socket_id, channel_name where one is
// asked for. Whatever else a page adds is not looked at.
type form map[string]string

// readForm reads the parameters called names, from the body and nothing but the
// body. One of them in the query is refused, since somebody expects it to count.
func readForm(w http.ResponseWriter, r *http.Request, names ...string) (form, error) {
	if err := web.RequireType(r, formType); err != nil {
		return nil, err
	}
	query := r.URL.Query()
	for _, name := range names {
		if query.Has(name) {
			return nil, web.BadRequest(name, "belongs in the body")
		}
	}
	body, err := web.Body(w, r, maxForm)
	if err != nil {
		return nil, err
	}
	return parseForm(string(body), names...)
}

// parseForm takes each parameter that is there exactly once and not empty: of
// two values, one reader would check the first and another sign the last.
func parseForm(body string, names ...string) (form, error) {
	all, err := url.ParseQuery(body)
	if err != nil {
		return nil, web.BadRequest("body", "not a form") // the cause would quote the body
	}
	f := make(form, len(names))
	for _, name := range names {
		switch values := all[name]; {
		case len(values) > 1:
			return nil, web.BadRequest(name, "given more than once")
		case len(values) == 0 || values[0] == "":
			return nil, web.BadRequest(name, "missing")
		default:
			f[name] = values[0]
		}
	}
	if pusher.CheckSocketID(f["socket_id"]) != nil {
		return nil, web.BadRequest("socket_id", "not of the form digits.digits")
	}
	return f, nil
}
