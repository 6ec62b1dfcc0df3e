package authorize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"roomcast/shared/token"
)

// maxRestAnswer bounds PostgREST's answer in bytes: one row of one column, or an
// error object.
const maxRestAnswer = 16 << 10

// RESTConfig is where and how a REST asks.
type RESTConfig struct {
	SupabaseURL string // such as https://ref.supabase.co
	Key         string // the publishable (or anon) key; never a secret one
	// Tables of membership, as table or schema.table in schemas that PostgREST exposes;
	// a row in any of them is a membership. None means room_participants.
	Tables     []string
	RoomColumn string // "" means room_id
	UserColumn string // "" means user_id
	HTTPClient *http.Client
}

// REST is Access without a database connection, for forward-only mode: it asks
// the project's PostgREST for the user's own membership row with the user's own
// token. What row level security hides from the user is no membership.
type REST struct {
	tables                 []restTable
	key                    string
	roomColumn, userColumn string
	client                 http.Client
}

var _ Access = (*REST)(nil)

// restTable is where PostgREST has a table: schemas other than its first are named by
// the header Accept-Profile (docs.postgrest.org, Schemas).
type restTable struct{ url, profile string }

// IsPlainName reports whether a table's or column's name needs no quotes anywhere. A function
// that starts has no time to compile an expression for it.
func IsPlainName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_', i > 0 && '0' <= c && c <= '9':
		default:
			return false
		}
	}
	return name != ""
}

// NewREST returns a REST, or an error that names every fault of cfg.
func NewREST(cfg RESTConfig) (*REST, error) {
	var faults []error
	name := func(what, value, otherwise string) string {
		if value == "" {
			return otherwise
		}
		if !IsPlainName(value) {
			faults = append(faults, fmt.Errorf("%s is not a plain name", what))
		}
		return value
	}
	a := &REST{
		key:        cfg.Key,
		roomColumn: name("room column", cfg.RoomColumn, "room_id"),
		userColumn: name("user column", cfg.UserColumn, "user_id"),
	}
	if len(cfg.Tables) == 0 {
		cfg.Tables = []string{"room_participants"}
	}
	for _, table := range cfg.Tables {
		schema, bare, qualified := strings.Cut(table, ".")
		if !qualified {
			schema, bare = "", table
		}
		bare = name("table", bare, "")
		a.tables = append(a.tables, restTable{
			url: strings.TrimRight(cfg.SupabaseURL, "/") + "/rest/v1/" + bare, profile: name("schema", schema, ""),
		})
	}
	if !token.IsProjectURL(cfg.SupabaseURL) {
		faults = append(faults, errors.New("the Supabase URL is not of the form https://host"))
	}
	switch {
	case cfg.Key == "":
		faults = append(faults, errors.New("no publishable key"))
	case strings.HasPrefix(cfg.Key, "sb_secret_"):
		faults = append(faults, errors.New("a secret key where the publishable one belongs"))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("membership by PostgREST: %w", errors.Join(faults...))
	}
	a.client.Transport = newFresh()
	if cfg.HTTPClient != nil {
		a.client = *cfg.HTTPClient
	}
	// The user's token goes to the configured host or nowhere.
	a.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return a, nil
}

// CanRead reports whether the bearer of ctx can see a row that makes userID a
// member of room. The tables are asked in order until one has such a row.
func (a *REST) CanRead(ctx context.Context, room, userID string, _ []byte) (bool, error) {
	for _, table := range a.tables {
		if ok, err := a.ask(ctx, table, room, userID); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (a *REST) ask(ctx context.Context, table restTable, room, userID string) (bool, error) {
	query := url.Values{
		"select":     {a.roomColumn},
		a.roomColumn: {"eq." + room},
		a.userColumn: {"eq." + userID},
		"limit":      {"1"},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, table.url+"?"+query.Encode(), nil)
	if err != nil {
		return false, fmt.Errorf("membership: %w", bare(err))
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("apikey", a.key)
	if table.profile != "" {
		req.Header.Set("Accept-Profile", table.profile)
	}
	req.Header.Set("Authorization", "Bearer "+bearerOf(ctx))
	res, err := a.client.Do(req)
	if err != nil {
		return false, fmt.Errorf("membership: %w", bare(err))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxRestAnswer))
	if err != nil {
		return false, fmt.Errorf("membership: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return false, restError(res.StatusCode, body)
	}
	return a.isMember(body, room)
}

// isMember reads the rows of a 200. They must name the room that was asked for:
// a proxy that drops the query must not admit everybody to everything.
func (a *REST) isMember(body []byte, room string) (bool, error) {
	var rows []map[string]json.RawMessage
	if err := json.Unmarshal(body, &rows); err != nil {
		return false, errors.New("membership: the answer is not a list of rows")
	}
	for _, row := range rows {
		got := string(row[a.roomColumn]) // a number's digits, as they are
		var text string
		if json.Unmarshal(row[a.roomColumn], &text) == nil {
			got = text
		}
		if got == room {
			return true, nil
		}
	}
	return false, nil
}

// restError turns PostgREST's error object into an error. A room id that the
// column's type cannot hold is nobody's room, and no error.
func restError(status int, body []byte) error {
	var fault struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(body, &fault) // without a code the status must do
	switch fault.Code {
	case "22P02", "22003": // invalid_text_representation, numeric_value_out_of_range
		return nil
	}
	// The code alone: the message may quote what was asked for.
	return fmt.Errorf("membership: PostgREST answered %d %.10q", status, fault.Code)
}

// bare drops the URL from an error of net/http: it names room and user.
func bare(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

// bearerKey is where the context of a request keeps its token. Access is asked
// with claims; only REST needs the token itself, and no other Access should have
// to see it.
type bearerKey struct{}

func withBearer(ctx context.Context, compact string) context.Context {
	return context.WithValue(ctx, bearerKey{}, compact)
}

func bearerOf(ctx context.Context) string {
	compact, _ := ctx.Value(bearerKey{}).(string)
	return compact
}
