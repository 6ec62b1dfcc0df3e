package child

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"time"
)

// FunctionTags are the build tags of the function wherever it is built: it needs neither
// Lambda's RPC nor HTTP/2.
const FunctionTags = "lambda.norpc,nethttpomithttp2"

// BuildFunction builds the function as it is shipped, without cgo, into the file out. The
// working directory must be inside this module.
func BuildFunction(ctx context.Context, out string) error {
	build := exec.CommandContext(ctx, "go", "build", "-tags", FunctionTags, "-o", out, "roomcast/functions")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, said)
	}
	return nil
}

// healthLimit is Fly's: a function that takes longer counts as unhealthy.
const healthLimit = time.Second

// Healthy asks a function at host:port for /healthz, as Fly's check does.
func Healthy(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
	if err != nil {
		return false
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
