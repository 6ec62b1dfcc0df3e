package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"roomcast/shared/event"
	"roomcast/shared/token/tokentest"
	"roomcast/shared/web"
)

//go:embed attached
var attachedFiles embed.FS

// attached is what a database relays: its tables, the rooms that are known, and who is
// in them as far as members are attached.
type attached struct {
	Tables []attachedTable `json:"tables"`
	Rooms  []attachedRoom  `json:"rooms"`
}

type attachedTable struct {
	Table string `json:"table"`
	Name  string `json:"name"`
	Kind  string `json:"kind"`

	members string // SQL for (room, user) of its rows; empty if it holds no members
}

type attachedRoom struct {
	ID      string     `json:"id"`
	Head    int64      `json:"head"` // the last seq
	At      *time.Time `json:"at"`   // of the last event; nil: none yet
	Members []string   `json:"members"`
}

const (
	maxRooms   = 200
	maxMembers = 2000 // of all rooms
)

// tablesSQL lists what is attached. The columns of a members table are those of its
// attachment: an expression over its row r, or a column; the users may be an array.
const tablesSQL = `
	select a.relation::text, coalesce(a.j ->> 'name', a.kind), a.kind,
		case when a.kind = 'members' then format(
			'select room, member from (select (%s)::text as room, %s::text as member from %s r where %s) m where room is not null and member is not null limit $1',
			coalesce(a.j ->> 'room', 'r.' || quote_ident(a.j ->> 'room_column')),
			case when t.typcategory = 'A' then format('unnest(r.%I)', a.user_column) else format('r.%I', a.user_column) end,
			a.relation, coalesce(a.j ->> 'active', 'true')) else '' end
	from (select s.*, to_jsonb(s) as j from roomcast.attached_tables s where s.detached_at is null) a
	left join pg_attribute c on c.attrelid = a.relation and c.attname = a.user_column
	left join pg_type t on t.oid = c.atttypid
	order by a.id`

const roomsSQL = `
	select r.room, r.head_seq, (select max(g.at) from roomcast.seq_ranges g where g.room = r.room) as at
	from roomcast.rooms r order by at desc nulls last limit $1`

// readAttached reads what a database relays; errNothingAttached if nothing.
func readAttached(ctx context.Context, pool *pgxpool.Pool) (attached, error) {
	a := attached{Rooms: []attachedRoom{}}
	var installed bool
	if err := pool.QueryRow(ctx, `select to_regclass('roomcast.attached_tables') is not null`).Scan(&installed); err != nil {
		return a, err
	}
	if !installed {
		return a, errNothingAttached
	}
	rows, err := pool.Query(ctx, tablesSQL)
	if err != nil {
		return a, err
	}
	a.Tables, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t attachedTable, err error) {
		return t, row.Scan(&t.Table, &t.Name, &t.Kind, &t.members)
	})
	if err != nil {
		return a, fmt.Errorf("attached tables: %w", err)
	}
	if len(a.Tables) == 0 {
		return a, errNothingAttached
	}
	return a, a.readRooms(ctx, pool)
}

// readRooms lists the rooms that have events, latest first, then those that only have
// members. Users' personal channels are not rooms.
func (a *attached) readRooms(ctx context.Context, pool *pgxpool.Pool) error {
	at := map[string]int{}
	room := func(id string) *attachedRoom {
		i, known := at[id]
		if !known {
			i, at[id] = len(a.Rooms), len(a.Rooms)
			a.Rooms = append(a.Rooms, attachedRoom{ID: id, Members: []string{}})
		}
		return &a.Rooms[i]
	}
	rows, err := pool.Query(ctx, roomsSQL, maxRooms)
	if err != nil {
		return err
	}
	var key string
	var head int64
	var last *time.Time
	_, err = pgx.ForEachRow(rows, []any{&key, &head, &last}, func() error {
		if stream, id, err := event.ParseKey(key); err == nil && stream == event.RoomStream {
			r := room(id)
			r.Head, r.At = head, last
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("rooms: %w", err)
	}
	for _, t := range a.Tables {
		if t.members == "" {
			continue
		}
		rows, err := pool.Query(ctx, t.members, maxMembers)
		if err != nil {
			return err
		}
		var id, member string
		_, err = pgx.ForEachRow(rows, []any{&id, &member}, func() error {
			if _, known := at[id]; known || len(a.Rooms) < maxRooms {
				r := room(id)
				r.Members = append(r.Members, member)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("members in %s: %w", t.Table, err)
		}
	}
	return nil
}

// people picks the first room with members, two of them, and a stranger.
func (a *attached) people() (room string, people [3]person) {
	people[2].id = uuid.NewString()
	for _, r := range a.Rooms {
		n := 0
		for _, m := range r.Members {
			if _, err := uuid.Parse(m); err == nil && n < 2 {
				people[n].id = m
				n++
			}
		}
		if n > 0 {
			return r.ID, people
		}
	}
	return "", people
}

// attachedPage serves the page for any chat: what is attached, its rooms, and the
// events of one of them as one of its users hears them.
func (s *stack) attachedPage(ctx context.Context, root string, pool *pgxpool.Pool, env *environment, l net.Listener) error {
	files, err := fs.Sub(attachedFiles, "attached")
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	signer, err := tokentest.ES256("local-1")
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	keys, err := tokentest.NewKeySet(signer)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	log := slog.New(slog.NewTextHandler(s.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	mux := http.NewServeMux()
	mux.Handle("GET "+tokentest.JWKSPath, keys)
	s.libraries(ctx, root, mux)
	mux.Handle("GET /config.json", serveConfig(env, false))
	mux.Handle("GET /chat.json", web.Handle(log, "GET /chat.json", func(w http.ResponseWriter, r *http.Request) error {
		chat, err := readAttached(r.Context(), pool)
		if err != nil {
			return err
		}
		return answerJSON(w, chat)
	}))
	mux.Handle("GET /token.json", web.Handle(log, "GET /token.json", func(w http.ResponseWriter, r *http.Request) error {
		token, err := env.sign(person{id: r.FormValue("user")})
		if err != nil {
			return err
		}
		return answerJSON(w, map[string]string{"token": token})
	}))
	mux.Handle("GET /", http.FileServerFS(files))
	s.serve("page", &http.Server{Handler: onlyHere(mux), ReadHeaderTimeout: 10 * time.Second}, l)
	return nil
}

// onlyHere refuses a page of another name that was made to lead to this machine: tokens
// for real users are handed out here.
func onlyHere(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host, _, err := net.SplitHostPort(r.Host); err != nil || host != "127.0.0.1" && host != "localhost" {
			http.Error(w, "only for this machine", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func answerJSON(w http.ResponseWriter, value any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(value)
}
