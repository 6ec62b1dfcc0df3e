package web

import (
	"net/http"
	"slices"
)

// What a page of an allowed origin may send and read. Browsers never need
// credentials mode here: callers identify themselves with a bearer token that
// the page attaches itself, so Access-Control-Allow-Credentials is never sent
// and "*" stays harmless.
const (
	corsMethods = "GET, POST"
	corsHeaders = "Authorization, Content-Type"
	corsExpose  = "Retry-After"
	corsMaxAge  = "7200" // seconds; Chromium remembers no longer than two hours
)

// CORS lets pages of the given origins ("https://app.example.com", compared
// exactly; "*" is everyone) call next, and answers their preflights. With no
// origins it adds nothing: browsers then refuse every other origin.
//
// It guards browsers' users only. What a caller may do is next's to decide.
func CORS(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	anyone := slices.Contains(origins, "*")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		h := w.Header()
		if !anyone {
			// Also without an Origin: a cache must not hand this answer to a page that has one.
			h.Add("Vary", "Origin")
		}
		allowed := anyone || slices.Contains(origins, origin)
		if origin != "" && allowed {
			h.Set("Access-Control-Allow-Origin", allowValue(anyone, origin))
			h.Set("Access-Control-Expose-Headers", corsExpose)
		}
		if isPreflight(r) {
			answerPreflight(w, allowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func allowValue(anyone bool, origin string) string {
	if anyone {
		return "*"
	}
	return origin
}

// isPreflight tells a browser's question from an OPTIONS request of another kind
// (Fetch standard, "CORS-preflight request").
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" &&
		r.Header.Get("Access-Control-Request-Method") != ""
}

// answerPreflight tells the browser what may follow. A refusal has a status and a reason,
// which are shown in the browser's network panel.
func answerPreflight(w http.ResponseWriter, allowed bool) {
	h := w.Header()
	if !allowed {
		secure(h)
		Forbidden("origin not allowed", nil).write(w)
		return
	}
	h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
}
