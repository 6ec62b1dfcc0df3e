package parity

import (
	"math"
	"net/url"
	"slices"
	"strconv"

	"roomcast/shared/web"
)

const (
	maxHours = 14 * 24 // the database keeps no more
	maxRooms = 500
)

// Ask is what the operator wants to see.
type Ask struct {
	Hours  int    // the window, up to now
	Rooms  int    // at most so many of them
	Report string // parity, delivery, or empty for what there is
	Limits Limits // of the verdict
}

// The reports there are.
const (
	reportParity   = "parity"
	reportDelivery = "delivery"
)

// DefaultAsk is a week, its 20 rooms with most trouble, and the default limits.
func DefaultAsk() Ask { return Ask{Hours: 7 * 24, Rooms: 20, Limits: defaultLimits()} }

// ParseAsk reads a query: hours, rooms, and the limits by their JSON names. Its errors
// are answers; a misspelt limit must not be one that silently does not hold.
func ParseAsk(query string) (Ask, error) {
	ask := DefaultAsk()
	values, err := url.ParseQuery(query)
	if err != nil {
		return ask, web.BadRequest("query", "cannot be read")
	}
	hours, rooms := int64(ask.Hours), int64(ask.Rooms)
	l := &ask.Limits
	whole := map[string]*int64{
		"hours": &hours, "rooms": &rooms, "min_hours": &l.Hours, "min_messages": &l.Messages, "min_page_hours": &l.PageHours,
		"max_lost": &l.Lost, "max_missing": &l.Missing, "max_unjudged": &l.Unjudged,
	}
	fraction := map[string]*float64{"p95_factor": &l.P95Factor, "p95_slack_ms": &l.P95Slack, "max_share": &l.Share}
	for name, given := range values {
		if name == "format" {
			continue
		}
		if name == "report" {
			if ask.Report = given[0]; len(given) > 1 || ask.Report != reportParity && ask.Report != reportDelivery {
				return ask, web.BadRequest(name, "must be parity or delivery")
			}
			continue
		}
		n, f := whole[name], fraction[name]
		if n == nil && f == nil {
			return ask, web.BadRequest(name, "is no parameter of this report")
		}
		if len(given) != 1 {
			return ask, web.BadRequest(name, "given more than once")
		}
		if n != nil {
			*n, err = strconv.ParseInt(given[0], 10, 32)
		} else {
			*f, err = strconv.ParseFloat(given[0], 64)
		}
		if err != nil || n != nil && *n < 0 || f != nil && (math.IsNaN(*f) || math.IsInf(*f, 0) || *f < 0) {
			return ask, web.BadRequest(name, "must be a number, not below 0")
		}
	}
	if hours < 1 || hours > maxHours {
		return ask, web.BadRequest("hours", "must be from 1 to 336")
	}
	if rooms > maxRooms {
		return ask, web.BadRequest("rooms", "must be at most 500")
	}
	ask.Hours, ask.Rooms = int(hours), int(rooms)
	return ask, nil
}

// format is what the caller wants to read.
type format string

const (
	formatPage format = "html"
	formatJSON format = "json"
	formatText format = "text"
)

// formatOf chooses by ?format=, else by the Accept header: a browser asks for text/html,
// and who asks for nothing in particular is a program.
func formatOf(query url.Values, accepts func(mediaType string) bool) (format, error) {
	if asked := query.Get("format"); asked != "" {
		if !slices.Contains([]format{formatPage, formatJSON, formatText}, format(asked)) {
			return "", web.BadRequest("format", "must be html, json or text")
		}
		return format(asked), nil
	}
	switch {
	case accepts("text/html"):
		return formatPage, nil
	case accepts("text/plain"):
		return formatText, nil
	}
	return formatJSON, nil
}
