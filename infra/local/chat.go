package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"roomcast/shared/token"
	"roomcast/shared/web"
)

// chat is the demo's stand-in for PostgREST: every request runs as its user,
// under the tables' own row level security. It knows nothing of Roomcast.
type chat struct {
	pool     *pgxpool.Pool
	verifier *token.Verifier
}

// maxRequest bounds a request's body in bytes; a message is far smaller.
const maxRequest = 64 << 10

func (c *chat) routes(mux *http.ServeMux, log *slog.Logger) {
	for pattern, sql := range statements() {
		mux.Handle(pattern, web.Handle(log, pattern, c.answer(sql)))
	}
}

// statements is the API: each route is one statement, which returns one JSON
// value. Row level security decides what it sees and may change.
func statements() map[string]string {
	return map[string]string{
		// The rooms, and which of them the user is in.
		"GET /api/rooms": `
			select coalesce(json_agg(json_build_object(
				'id', id, 'name', name, 'topic', topic, 'joined', public.is_participant(id)) order by created_at, name desc), '[]')
			from public.chat_rooms`,
		// A room's last messages, its people, and everybody's name.
		"GET /api/rooms/{room}": `
			select json_build_object(
				'messages', (select coalesce(json_agg(m order by m.created_at, m.id), '[]') from (
					select id, room_id, user_id, content, created_at from public.messages
					where room_id = @room order by created_at desc, id desc limit 50) as m),
				'reactions', (select coalesce(json_agg(r), '[]') from (
					select r.id, r.message_id, r.user_id, r.emoji from public.reactions r
					join public.messages m on m.id = r.message_id where m.room_id = @room limit 500) as r),
				'people', (select coalesce(json_agg(user_id order by joined_at), '[]')
					from public.room_participants where room_id = @room),
				'names', (select coalesce(json_object_agg(id, name), '{}') from public.profiles))`,
		"POST /api/rooms/{room}/messages": `
			insert into public.messages (room_id, content) values (@room, @content)
			returning json_build_object('id', id)`,
		"PATCH /api/rooms/{room}/messages/{message}": `
			update public.messages set content = @content where room_id = @room and id = @message
			returning json_build_object('id', id)`,
		"DELETE /api/rooms/{room}/messages/{message}": `
			delete from public.messages where room_id = @room and id = @message
			returning json_build_object('id', id)`,
		// A reaction's content is its emoji.
		"POST /api/rooms/{room}/messages/{message}/reactions": `
			insert into public.reactions (message_id, emoji) values (@message, @content)
			returning json_build_object('id', id)`,
		"DELETE /api/rooms/{room}/messages/{message}/reactions/{reaction}": `
			delete from public.reactions where message_id = @message and id = @reaction
			returning json_build_object('id', id)`,
		// An invitation's content is the user that is added.
		"POST /api/rooms/{room}/invite": `
			insert into public.room_participants (room_id, user_id) values (@room, @content)
			returning json_build_object('room_id', room_id)`,
		"POST /api/rooms/{room}/join": `
			insert into public.room_participants (room_id) values (@room)
			returning json_build_object('room_id', room_id)`,
		"POST /api/rooms/{room}/leave": `
			delete from public.room_participants where room_id = @room and user_id = auth.uid()
			returning json_build_object('room_id', room_id)`,
	}
}

// answer runs a statement as the request's user and answers with its JSON.
func (c *chat) answer(sql string) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		claims, err := c.bearer(r)
		if err != nil {
			return err
		}
		content, err := readContent(w, r)
		if err != nil {
			return err
		}
		args := pgx.NamedArgs{"room": r.PathValue("room"), "message": r.PathValue("message"), "reaction": r.PathValue("reaction"), "content": content}
		var answer json.RawMessage
		err = c.asUser(r.Context(), claims, func(tx pgx.Tx) error {
			return tx.QueryRow(r.Context(), sql, args).Scan(&answer)
		})
		if err != nil {
			return explain(err)
		}
		return web.WriteJSON(w, http.StatusOK, answer)
	}
}

// asUser runs do in a transaction with the user's claims and Supabase's role,
// as PostgREST does for each request.
func (c *chat) asUser(ctx context.Context, claims token.Claims, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "select set_config('request.jwt.claims', $1, true), set_config('role', 'authenticated', true)", string(claims.Raw))
		if err != nil {
			return fmt.Errorf("role: %w", err)
		}
		return do(tx)
	})
}

// readContent returns the message text of a POST or PATCH with a body, else nil.
func readContent(w http.ResponseWriter, r *http.Request) (*string, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	body, err := web.Body(w, r, maxRequest)
	if err != nil {
		return nil, err
	}
	var message struct {
		Content string `json:"content"`
	}
	if err := json.Unmarshal(body, &message); err != nil || message.Content == "" {
		return nil, web.BadRequest("content", "must be a text")
	}
	return &message.Content, nil
}

// explain turns what row level security and the tables say into an answer.
func explain(err error) error {
	var pgErr *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return web.NotFound("nothing of yours there")
	case !errors.As(err, &pgErr):
		return err
	case pgErr.Code == "42501":
		return web.Forbidden("not a member of the room", err)
	case pgErr.Code == "23505":
		return &web.Error{Status: http.StatusConflict, Reason: "already there", Err: err}
	case pgErr.Code == "22P02" || pgErr.Code == "23503" || pgErr.Code == "23502":
		return web.BadRequest("room", "no such room")
	}
	return err
}
