package az

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/base"
	"sluice/storage/objstore/request"
)

// credential puts what the store asks for onto a request.
type credential interface {
	sign(*http.Request) error
}

// newCredential takes the first of these that the environment has:
//
//	AZURE_STORAGE_KEY                       the account's key
//	AZURE_STORAGE_SAS_TOKEN                 a shared access signature
//	AZURE_TENANT_ID, AZURE_CLIENT_ID and
//	  AZURE_CLIENT_SECRET                   a service principal
//	  AZURE_FEDERATED_TOKEN_FILE            a workload identity (Kubernetes); AZURE_AUTHORITY_HOST may name another authority
//	IDENTITY_ENDPOINT, IDENTITY_HEADER      the managed identity of App Service and Container Apps
//	nothing                                 the managed identity of a virtual machine; AZURE_CLIENT_ID chooses among several
func newCredential(account string, getenv func(string) string) (credential, error) {
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	if text := getenv("AZURE_STORAGE_KEY"); text != "" {
		key, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, base.Errorf(base.Invalid, "AZURE_STORAGE_KEY is not base64")
		}
		return sharedKey{account, key}, nil
	}
	if text := getenv("AZURE_STORAGE_SAS_TOKEN"); text != "" {
		values, err := url.ParseQuery(strings.TrimPrefix(text, "?"))
		if err != nil || values.Get("sig") == "" {
			return nil, base.Errorf(base.Invalid, "AZURE_STORAGE_SAS_TOKEN is no shared access signature, which has sv=…&sig=…")
		}
		return sas(values), nil
	}
	return newTokens(getenv), nil
}

// sas is a shared access signature.
type sas url.Values

func (s sas) sign(r *http.Request) error {
	q := r.URL.Query()
	for name, values := range s {
		q[name] = values
	}
	r.URL.RawQuery = q.Encode()
	return nil
}

// sharedKey signs requests with an account's key (Azure's "Authorize with Shared Key", version 2015-02-21 and later).
type sharedKey struct {
	account string
	key     []byte
}

func (k sharedKey) sign(r *http.Request) error {
	mac := hmac.New(sha256.New, k.key)
	io.WriteString(mac, k.stringToSign(r)) //nolint:errcheck // a hash takes everything
	r.Header.Set("Authorization", "SharedKey "+k.account+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return nil
}

func (k sharedKey) stringToSign(r *http.Request) string {
	var b strings.Builder
	line := func(text string) { b.WriteString(text + "\n") }
	length := ""
	if r.ContentLength > 0 {
		length = strconv.FormatInt(r.ContentLength, 10)
	}
	line(r.Method)
	for _, name := range []string{"Content-Encoding", "Content-Language", "", "Content-MD5", "Content-Type", "Date", "If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range"} {
		if name == "" {
			line(length)
			continue
		}
		line(r.Header.Get(name))
	}
	var names []string
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-ms-") {
			names = append(names, lower)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		line(name + ":" + strings.TrimSpace(r.Header.Get(name)))
	}
	b.WriteString("/" + k.account + r.URL.EscapedPath())
	query := r.URL.Query()
	var params []string
	for name, values := range query {
		slices.Sort(values)
		params = append(params, strings.ToLower(name)+":"+strings.Join(values, ","))
	}
	slices.Sort(params)
	for _, p := range params {
		b.WriteString("\n" + p)
	}
	return b.String()
}

const (
	resource     = "https://storage.azure.com/"
	renewBefore  = 5 * time.Minute
	imds         = "http://169.254.169.254"
	authority    = "https://login.microsoftonline.com"
	tokenBodyMax = 1 << 20
)

// tokens are those of an identity. They are asked for when the first request needs one, and again renewBefore they are over.
type tokens struct {
	client *http.Client
	ask    func(ctx context.Context) (*http.Request, error)

	mu struct {
		sync.Mutex // held while one is asked for: who needs it waits anyway
		token      string
		until      time.Time
	}
}

func (t *tokens) sign(r *http.Request) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); !now.Before(t.mu.until.Add(-renewBefore)) {
		if err := t.renew(r.Context(), now); err != nil && !now.Before(t.mu.until) {
			return base.Errorf(base.Unavailable, "token of the Azure identity: %w (without an identity set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN)", err)
		}
	}
	r.Header.Set("Authorization", "Bearer "+t.mu.token)
	return nil
}

func (t *tokens) renew(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, request.Timeout)
	defer cancel()
	req, err := t.ask(ctx)
	if err != nil {
		return err
	}
	answer, err := t.client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, tokenBodyMax))
	if err != nil {
		return err
	}
	var got struct {
		Token     string      `json:"access_token"`
		ExpiresIn json.Number `json:"expires_in"` // seconds; the authority gives a number, managed identities a text
		ExpiresOn json.Number `json:"expires_on"` // since 1970
		Error     string      `json:"error"`
		Why       string      `json:"error_description"`
	}
	if err := json.Unmarshal(text, &got); err != nil || got.Token == "" {
		return fmt.Errorf("%s answered %d %s %s", req.URL.Host, answer.StatusCode, got.Error, got.Why)
	}
	until := now.Add(time.Hour)
	if in, err := got.ExpiresIn.Int64(); err == nil {
		until = now.Add(time.Duration(in) * time.Second)
	} else if on, err := got.ExpiresOn.Int64(); err == nil {
		until = time.Unix(on, 0)
	}
	t.mu.token, t.mu.until = got.Token, until
	return nil
}

func newTokens(getenv func(string) string) *tokens {
	t := &tokens{client: request.NewClient(0)}
	tenant, client := getenv("AZURE_TENANT_ID"), getenv("AZURE_CLIENT_ID")
	secret, file := getenv("AZURE_CLIENT_SECRET"), getenv("AZURE_FEDERATED_TOKEN_FILE")
	switch {
	case tenant != "" && client != "" && (secret != "" || file != ""):
		host := getenv("AZURE_AUTHORITY_HOST")
		if host == "" {
			host = authority
		}
		t.ask = func(ctx context.Context) (*http.Request, error) {
			form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "scope": {resource + ".default"}}
			if secret != "" {
				form.Set("client_secret", secret)
			} else {
				assertion, err := os.ReadFile(file) // it is replaced from time to time
				if err != nil {
					return nil, err
				}
				form.Set("client_assertion", strings.TrimSpace(string(assertion)))
				form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(host, "/")+"/"+tenant+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
			if err == nil {
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			return req, err
		}
	case getenv("IDENTITY_ENDPOINT") != "" && getenv("IDENTITY_HEADER") != "":
		t.ask = managed(getenv("IDENTITY_ENDPOINT"), "2019-08-01", client, "X-Identity-Header", getenv("IDENTITY_HEADER"))
	default:
		host := getenv("AZURE_POD_IDENTITY_AUTHORITY_HOST") // as Azure's own libraries have it
		if host == "" {
			host = imds
		}
		t.ask = managed(strings.TrimSuffix(host, "/")+"/metadata/identity/oauth2/token", "2018-02-01", client, "Metadata", "true")
	}
	return t
}

// managed asks for the token of a managed identity.
func managed(endpoint, version, client, header, value string) func(context.Context) (*http.Request, error) {
	query := url.Values{"api-version": {version}, "resource": {resource}}
	if client != "" {
		query.Set("client_id", client)
	}
	return func(ctx context.Context) (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"?"+query.Encode(), nil)
		if err == nil {
			req.Header.Set(header, value)
		}
		return req, err
	}
}
