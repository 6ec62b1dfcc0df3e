package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/runtime/lambdatest"
)

// binary builds the function as it is shipped, once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "roomcast-function-")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "bootstrap")
	build := exec.Command("go", "build", "-tags", "lambda.norpc,nethttpomithttp2", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// built is the directory of the program, empty until a test has asked for it.
var built string

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(built) // "" is nothing
	os.Exit(code)
}

func build(t *testing.T) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

const webhookSecret = "webhook-secret-of-tests-32-characters"

// environment configures a function for an emulated Pusher.
func environment(push *pushertest.Server, more ...string) []string {
	c := push.Config()
	return append([]string{
		"WEBHOOK_SECRET=" + webhookSecret, "PUSHER_APP_ID=" + c.AppID, "PUSHER_KEY=" + c.Key, "PUSHER_SECRET=" + c.Secret,
		"PUSHER_HOST=" + c.Host, "PUSHER_TLS=false", "SUPABASE_JWT_SECRET=a-jwt-secret-of-at-least-32-bytes!",
		"LISTEN_HOST=127.0.0.1", "PORT=0", "METRICS_PORT=0", "LOG_LEVEL=error",
	}, more...)
}

func newPusher(t *testing.T) *pushertest.Server {
	t.Helper()
	return pushertest.Start(t, pushertest.Options{})
}

func TestBinaryIsSmall(t *testing.T) {
	info, err := os.Stat(build(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= 13_000_000 {
		t.Errorf("the binary has %d bytes, want less than 13 MB, of a million bytes each", info.Size())
	}
}

// The program that serves Fly serves Lambda: a Function URL's event and an API
// Gateway v2's, through the runtime API.
func TestLambda(t *testing.T) {
	t.Parallel()
	push := newPusher(t)
	url := outboxtest.Chat(t)
	api := lambdatest.New(t)
	cmd := exec.Command(build(t))
	cmd.Env = append(environment(push, "DATABASE_URL="+url), api.Env()...)
	api.Start(t, cmd)

	for _, tc := range []struct {
		name  string
		event func(*http.Request) []byte
	}{
		{"function URL", func(r *http.Request) []byte { return lambdatest.FunctionURL(t, r) }},
		{"API Gateway v2", func(r *http.Request) []byte { return lambdatest.APIGateway(t, r, "prod") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			invoke := func(method, path, body string) *http.Response {
				t.Helper()
				r, err := http.NewRequestWithContext(t.Context(), method, "https://lambda.example"+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer "+webhookSecret)
				r.Header.Set("Content-Type", "application/json")
				result, err := api.Invoke(t.Context(), tc.event(r), 30*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := result.Response()
				if err != nil {
					t.Fatal(err)
				}
				return answer
			}
			if answer := invoke("GET", "/healthz", ""); answer.StatusCode != http.StatusOK {
				t.Errorf("health answered %d", answer.StatusCode)
			}
			before := len(push.Events())
			if err := outboxtest.Exec(t.Context(), url, `insert into messages (room_id, content)
				select gen_random_uuid(), i::text from generate_series(1, 25) i`); err != nil {
				t.Fatal(err)
			}
			// Nothing runs after the answer: it comes when all is sent.
			if answer := invoke("POST", "/webhooks/supabase", `{"type":"WAKEUP"}`); answer.StatusCode != http.StatusAccepted {
				t.Errorf("the webhook answered %d", answer.StatusCode)
			}
			if n := len(push.Events()) - before; n != 25 {
				t.Errorf("%d of 25 events were sent before the answer", n)
			}
			if answer := invoke("POST", "/pusher/auth", "x"); answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("authorization answered %d to a secret in place of a token, want 401", answer.StatusCode)
			}
		})
	}
}

// The routes, their methods and their manners, on the wired program.
func TestRoutes(t *testing.T) {
	push := newPusher(t)
	cfg, err := loadConfig(environment(push, "DATABASE_URL=postgres://nobody@127.0.0.1:1/none", "ALLOWED_ORIGINS=https://chat.example"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := assemble(cfg, discard(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	server := serve(t, p.routes())
	for _, tc := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/healthz", 200},
		{"GET", "/webhooks/supabase", 405},
		{"POST", "/webhooks/supabase", 401},
		{"POST", "/webhooks/pusher", 401},
		{"POST", "/pusher/auth", 401},
		{"POST", "/pusher/user-auth", 401},
		{"GET", "/", 404},
		{"OPTIONS", "/pusher/auth", 204},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tc.method, server+tc.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", "https://chat.example")
		if tc.method == "OPTIONS" {
			r.Header.Set("Access-Control-Request-Method", "POST")
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != tc.status {
			t.Errorf("%s %s answered %d, want %d: %s", tc.method, tc.path, answer.StatusCode, tc.status, body)
		}
		if got := answer.Header.Get("Access-Control-Allow-Origin"); got != "https://chat.example" {
			t.Errorf("%s %s allows the origin %q", tc.method, tc.path, got)
		}
	}
}

// A database that is away is no reason to fail a health check, nor to lose the
// webhook's answer.
func TestHealthSaysWhatItRuns(t *testing.T) {
	push := newPusher(t)
	cfg, err := loadConfig(environment(push, "ROOM_CHANNELS=public"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := assemble(cfg, discard(), false)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get(serve(t, p.routes()) + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var health map[string]string
	if err := json.NewDecoder(answer.Body).Decode(&health); err != nil {
		t.Fatal(err)
	}
	if health["status"] != "ok" || health["mode"] != "forward-only" || health["version"] == "" {
		t.Errorf("health is %v", health)
	}
}

func TestRunRefusesABadEnvironment(t *testing.T) {
	err := run(context.Background(), []string{"PORT=8080"}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "PUSHER_APP_ID") {
		t.Errorf("run: %v", err)
	}
}
