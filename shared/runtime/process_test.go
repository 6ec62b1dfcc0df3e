package runtime

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"roomcast/shared/runtime/lambdatest"
)

// role makes this test binary a program that calls Run, so that signals, the
// exit status and aws-lambda-go's own loop are the real ones.
const role = "ROOMCAST_RUNTIME_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(role) == "" {
		os.Exit(m.Run())
	}
	cfg := Config{
		Lambda: Freezes(os.Getenv), LambdaStreaming: os.Getenv(role) == "streaming",
		Addr: "127.0.0.1:0", Log: quiet(),
		Ready: func(addr, _ net.Addr) { fmt.Println(addr) },
	}
	if err := Run(context.Background(), cfg, http.HandlerFunc(program)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// program is what the processes serve.
func program(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/echo":
		w.Header().Set("X-Seen", r.Method+" "+r.RequestURI+" "+r.RemoteAddr)
		http.SetCookie(w, &http.Cookie{Name: "first", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "second", Value: "2"})
		_, _ = io.Copy(w, r.Body)
	case "/panic":
		panic("not here")
	case "/half":
		fmt.Fprint(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic("not here")
	case "/wait":
		<-r.Context().Done()
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// child runs this binary in a role.
func child(t *testing.T, as string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), role+"="+as)
	cmd.Stderr = io.Discard
	return cmd
}

func TestProcessEndsWithStatusZeroOnSignals(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := child(t, "server")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		addr, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if status, _, err := get("http://" + strings.TrimSpace(addr) + "/echo"); err != nil || status != 200 {
			t.Fatalf("%d, %v", status, err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
	}
}

// invoke passes an event to a function process; anything but an answer in time
// fails the test.
func invoke(t *testing.T, api *lambdatest.Server, event []byte, timeout time.Duration) *lambdatest.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	res, err := api.Invoke(ctx, event, timeout)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestLambdaProcess(t *testing.T) {
	for _, mode := range []string{"buffered", "streaming"} {
		t.Run(mode, func(t *testing.T) {
			api := lambdatest.New(t)
			exited := api.Start(t, child(t, mode))
			gateway := func(r *http.Request) []byte { return lambdatest.APIGateway(t, r, "prod") }
			url := func(r *http.Request) []byte { return lambdatest.FunctionURL(t, r) }

			for name, event := range map[string]func(*http.Request) []byte{"gateway": gateway, "function URL": url} {
				echo(t, api, name, event)
			}
			broken := invoke(t, api, url(httptest.NewRequest("GET", "/panic", nil)), time.Minute)
			if res, err := broken.Response(); err != nil || res.StatusCode != 500 {
				t.Errorf("panic: %v, %v", res, err)
			}
			waited := invoke(t, api, url(httptest.NewRequest("GET", "/wait", nil)), time.Second)
			if res, err := waited.Response(); err != nil || res.StatusCode != 503 {
				t.Errorf("deadline: %v, %v", res, err)
			}
			other := invoke(t, api, sample(t, "sqs.json"), time.Minute)
			if other.Failed == nil || other.Failed.Type != "UnsupportedEvent" {
				t.Errorf("SQS event: %+v", other)
			}
			half := invoke(t, api, url(httptest.NewRequest("GET", "/half", nil)), time.Minute)
			if streaming := mode == "streaming"; (half.BrokenOff != nil) != streaming {
				t.Errorf("half an answer: broken off %+v", half.BrokenOff)
			}
			echo(t, api, "after all that", url)
			select {
			case <-exited:
				t.Error("the process ended")
			default:
			}
		})
	}
}

// echo sends bytes that are no text there and back.
func echo(t *testing.T, api *lambdatest.Server, name string, event func(*http.Request) []byte) {
	t.Helper()
	const sent = "\xff\x00 not text"
	result := invoke(t, api, event(httptest.NewRequest("POST", "/echo?a=1&a=%202", strings.NewReader(sent))), time.Minute)
	res, err := result.Response()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	body, _ := io.ReadAll(res.Body)
	if string(body) != sent || len(res.Cookies()) != 2 {
		t.Errorf("%s: body %q, cookies %v", name, body, res.Cookies())
	}
	if got := res.Header.Get("X-Seen"); got != "POST /echo?a=1&a=%202 192.0.2.1:0" {
		t.Errorf("%s: the handler saw %q", name, got)
	}
}

func TestRunNeedsLambdaToBeThere(t *testing.T) {
	t.Setenv(lambdaAPI, "")
	if err := Run(t.Context(), Config{Lambda: true, Log: quiet()}, nil); !errors.Is(err, errNotLambda) {
		t.Errorf("got %v", err)
	}
}

func TestFreezes(t *testing.T) {
	env := map[string]string{}
	getenv := func(key string) string { return env[key] }
	if Freezes(getenv) {
		t.Error("frozen without Lambda")
	}
	env[lambdaAPI] = "127.0.0.1:9001"
	if !Freezes(getenv) {
		t.Error("not frozen on Lambda")
	}
}
