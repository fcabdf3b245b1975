//go:build unix

package aztest

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"sluice/test/process"
)

// The account that every Azurite has; it is published with it.
const (
	Account = "devstoreaccount1"
	Key     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

var listening = regexp.MustCompile(`successfully listens on (http://\S+)`)

// Start starts a server for the test and returns its endpoint, without any container. The server ends with the test.
func Start(t testing.TB) (endpoint string) {
	t.Helper()
	dir, err := install(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server, err := process.Start("node", filepath.Join(dir, "node_modules", "azurite", "dist", "src", "blob", "main.js"),
		"--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--silent")
	if err != nil {
		t.Fatalf("start Azurite: %v", err)
	}
	t.Cleanup(func() {
		server.Kill()
		if t.Failed() {
			t.Logf("Azurite: %s", server.Output)
		}
	})
	err = server.Await(t.Context(), func() bool {
		if m := listening.FindStringSubmatch(server.Output.String()); m != nil {
			endpoint = m[1]
		}
		return endpoint != ""
	})
	if err != nil {
		t.Fatalf("start Azurite: %v", err)
	}
	return endpoint
}

// URL returns the URL of a container for objstore.Open.
func URL(endpoint, container string) string {
	return fmt.Sprintf("az://%s/%s?endpoint=%s", Account, container, url.QueryEscape(endpoint))
}

// install returns the directory of Azurite's files, installing them when they are not there.
func install(ctx context.Context) (string, error) {
	root, err := process.Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, ".cache", "azurite")
	unlock, err := process.Lock(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	if out, err := exec.CommandContext(ctx, filepath.Join(root, "test", "aztest", "install"), dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("install Azurite (needs the npm registry once): %w\n%s", err, out)
	}
	return dir, nil
}
