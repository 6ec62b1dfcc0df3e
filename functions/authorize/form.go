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

// readForm reads the parameters called names, each of which must be there exactly once
// and not empty: of two values, one reader would check the first and another sign the
// last.
func readForm(w http.ResponseWriter, r *http.Request, names ...string) (form, error) {
	all, err := readBody(w, r, maxForm, names...)
	if err != nil {
		return nil, err
	}
	return takeEach(all, names...)
}

// takeEach takes the parameters called names out of a form.
func takeEach(all url.Values, names ...string) (form, error) {
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
