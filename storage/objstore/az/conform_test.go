//go:build unix

package az_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"sluice/base"
	"sluice/storage/objstore/az"
	"sluice/storage/objstore/conform"
	"sluice/storage/objstore/driver"
	"sluice/test/aztest"
)

func env(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

var key = env(map[string]string{"AZURE_STORAGE_KEY": aztest.Key})

// TestConform runs the suite against Azurite with a shared key; each test gets a prefix of its own.
func TestConform(t *testing.T) {
	endpoint := aztest.Start(t)
	n := 0
	conform.RunWith(t, conform.Options{RaceRound: 10}, func(t *testing.T) driver.Store {
		n++
		raw := strings.Replace(aztest.URL(endpoint, "test"), "/test?", fmt.Sprintf("/test/some/prefix-%d?", n), 1)
		s, err := az.Open(t.Context(), raw, key)
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			if err := s.CreateContainer(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.String(); got != raw || strings.Contains(got, aztest.Key) {
			t.Fatalf("the store calls itself %s", got)
		}
		return s
	})
}

// TestSharedAccessSignature signs a container's URL as its owner would and hands it to a store, which can then read and write there; one that may
// only read cannot write.
func TestSharedAccessSignature(t *testing.T) {
	endpoint := aztest.Start(t)
	owner, err := az.Open(t.Context(), aztest.URL(endpoint, "shared"), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.CreateContainer(t.Context()); err != nil {
		t.Fatal(err)
	}
	with := func(permissions string) driver.Store {
		s, err := az.Open(t.Context(), aztest.URL(endpoint, "shared"), env(map[string]string{"AZURE_STORAGE_SAS_TOKEN": sign(t, "shared", permissions)}))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	all, reader := with("racwdl"), with("rl")
	if err := all.Put(t.Context(), "k", [][]byte{[]byte("x")}, driver.PutOptions{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
	if err := all.Put(t.Context(), "k", [][]byte{[]byte("y")}, driver.PutOptions{IfAbsent: true}); !base.IsKind(err, base.Exists) {
		t.Fatalf("got %v", err)
	}
	n := 0
	for _, err := range reader.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if got, err := reader.Get(t.Context(), "k", 0, -1, nil); err != nil || string(got) != "x" || n != 1 {
		t.Fatalf("%d blobs, %q, %v", n, got, err)
	}
	if err := reader.Put(t.Context(), "l", nil, driver.PutOptions{}); !base.IsKind(err, base.Invalid) {
		t.Fatalf("got %v", err)
	}
}

// sign makes the signature of a service SAS of a container (Azure's "Create a service SAS").
func sign(t *testing.T, container, permissions string) string {
	t.Helper()
	const expiry, version = "2099-01-01T00:00:00Z", "2020-12-06"
	text := strings.Join([]string{permissions, "", expiry, "/blob/" + aztest.Account + "/" + container, "", "", "", version, "c", "", "", "", "", "", "", ""}, "\n")
	secret, err := base64.StdEncoding.DecodeString(aztest.Key)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return url.Values{"sp": {permissions}, "se": {expiry}, "sv": {version}, "sr": {"c"}, "sig": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}}.Encode()
}
