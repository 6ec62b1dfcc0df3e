package pusher

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNewReportsAllFaultsAtOnce(t *testing.T) {
	_, err := New(Config{AppID: "a/b", Cluster: "eu.pusher.com/", EncryptionKey: "c2hvcnQ=", Timeout: -1, MaxConns: -1})
	if err == nil {
		t.Fatal("a wrong configuration was accepted")
	}
	for _, fault := range []string{"app id", "key", "secret", "cluster", "encryption key", "timeout", "max conns"} {
		if !strings.Contains(err.Error(), fault+":") {
			t.Errorf("%q is not reported by:\n%v", fault, err)
		}
	}
	if strings.Contains(err.Error(), "c2hvcnQ") {
		t.Error("the error shows the encryption key")
	}
	for _, host := range []string{"http://localhost", "localhost/apps", "user@localhost", "local host", "localhost:x", ":80", "localhost?x"} {
		if _, err := New(Config{AppID: "1", Key: "k", Secret: "s", Host: host}); err == nil {
			t.Errorf("host %q was accepted", host)
		}
	}
}

func TestHostWinsOverCluster(t *testing.T) {
	for _, tc := range []struct{ host, cluster, want string }{
		{"", "eu", "api-eu.pusher.com"},
		{"127.0.0.1:1", "eu", "127.0.0.1:1"},
		{"127.0.0.1:1", "", "127.0.0.1:1"},
	} {
		c, err := New(Config{AppID: "1", Key: "k", Secret: "s", Host: tc.host, Cluster: tc.cluster})
		if err != nil || c.cfg.Host != tc.want || c.lib.Host != tc.want {
			t.Errorf("%+v: got %v, %v", tc, c, err)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	cfg := Config{AppID: "1", Key: "k", Secret: "hush-hush", Cluster: "eu",
		EncryptionKey: base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 32))}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
		fmt.Fprintf(&out, verb+verb+"\n", cfg, c)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "cfg", cfg, "client", c)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "cfg", cfg, "client", c)
	if err := json.NewEncoder(&out).Encode(cfg); err != nil {
		t.Error(err)
	}
	for _, secret := range []string{cfg.Secret, cfg.EncryptionKey, fmt.Sprint([]byte(cfg.Secret))} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q printed in:\n%s", secret, out.String())
		}
	}
	if !strings.Contains(out.String(), "pusher app 1 at api-eu.pusher.com") {
		t.Errorf("the app itself did not print:\n%s", out.String())
	}
}
