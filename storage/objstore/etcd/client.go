package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"sluice/base"
)

// answer is a decoded answer of etcd.
type answer interface{ cluster() string }

func (r *rangeResponse) cluster() string { return r.Header.Cluster }
func (r *txnResponse) cluster() string   { return r.Header.Cluster }
func (r *authResponse) cluster() string  { return r.Header.Cluster }

// read does a request that changes nothing, or what may be changed again. Whatever is not known is Unavailable.
func (s *Store) read(ctx context.Context, path string, in any, out answer) error {
	err := s.call(ctx, path, in, out)
	if kind := base.KindOf(err); err != nil && kind == base.Undetermined {
		return base.Wrap(base.Unavailable, err)
	}
	return err
}

// txn does a transaction. The error is Undetermined when it may have happened.
func (s *Store) txn(ctx context.Context, in txnRequest) (*txnResponse, error) {
	var out txnResponse
	err := s.call(ctx, "/v3/kv/txn", in, &out)
	return &out, err
}

// call does a request with whichever member takes it: it goes on to the next one only when this one cannot have got it. A token that
// has expired is replaced once.
func (s *Store) call(ctx context.Context, path string, in any, out answer) error {
	body, err := json.Marshal(in)
	if err != nil {
		panic("BUG: etcd: " + err.Error())
	}
	for try := 0; ; try++ {
		at := s.at.Load()
		token, err := s.authorize(ctx, at)
		if err == nil {
			err = s.post(ctx, at, path, token, body, out)
		}
		if err == nil {
			return s.sameCluster(out.cluster())
		}
		var stale *staleToken
		again := errors.As(err, &stale) && try == 0
		if again {
			s.token.CompareAndSwap(stale.token, nil)
		} else if k := base.KindOf(err); k == base.Unavailable || k == base.Undetermined {
			s.at.CompareAndSwap(at, at+1)
			again = k == base.Unavailable && try+1 < len(s.endpoints)
		}
		if !again || ctx.Err() != nil {
			return err
		}
	}
}

// sameCluster refuses an answer for another etcd cluster than the first one that answered.
func (s *Store) sameCluster(id string) error {
	if id == "" || s.cluster.CompareAndSwap(nil, &id) {
		return nil
	}
	if was := *s.cluster.Load(); was != id {
		return base.Errorf(base.Invalid, "the members of %s answer for two etcd clusters, %s and %s: either the URL names members of both, or etcd was made anew under a running broker", s.url, was, id)
	}
	return nil
}

// authorize returns the token to send, nil if there is no user.
func (s *Store) authorize(ctx context.Context, at uint32) (*string, error) {
	if s.user == nil {
		return nil, nil
	}
	if token := s.token.Load(); token != nil {
		return token, nil
	}
	password, _ := s.user.Password()
	body, err := json.Marshal(authRequest{Name: s.user.Username(), Password: password})
	if err != nil {
		panic("BUG: etcd: " + err.Error())
	}
	var out authResponse
	if err := s.post(ctx, at, "/v3/auth/authenticate", nil, body, &out); err != nil {
		if base.KindOf(err) == base.Undetermined {
			err = base.Wrap(base.Unavailable, err) // what was to be authorized was not sent
		}
		return nil, fmt.Errorf("authenticate %q: %w", s.user.Username(), err)
	}
	s.token.Store(&out.Token)
	return &out.Token, nil
}

// staleToken says that etcd does not know the token any more; it did nothing.
type staleToken struct {
	token *string
	text  string
}

func (e *staleToken) Error() string { return e.text }

// post does one request with one member. Undetermined: etcd may have got it.
func (s *Store) post(ctx context.Context, at uint32, path string, token *string, body []byte, out answer) error {
	if err := ctx.Err(); err != nil {
		return base.Wrap(base.Unavailable, err)
	}
	timeout := requestTimeout << min(max(int(s.slow.Load())-len(s.endpoints), 0), timeoutDoublings) // once around first
	timeout += time.Duration(float64(len(body)) / minBytesPerSecond * float64(time.Second))
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	endpoint := s.endpoints[int(at)%len(s.endpoints)]
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodPost, endpoint+path, bytes.NewReader(body))
	if err != nil {
		return base.Errorf(base.Invalid, "etcd: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != nil {
		req.Header.Set("Authorization", *token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		if ctx.Err() != nil && caller.Err() == nil {
			s.slow.Add(1)
		}
		if connected.Load() {
			return base.Errorf(base.Undetermined, "etcd: %w", err)
		}
		return base.Errorf(base.Unavailable, "etcd: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return base.Errorf(base.Undetermined, "etcd: the answer of %s broke off: %w", endpoint, err)
	}
	s.slow.Store(0)
	if resp.StatusCode != http.StatusOK {
		return refusal(endpoint, resp.StatusCode, text, token)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return base.Errorf(base.Undetermined, "etcd: the answer of %s is none of etcd's: %w", endpoint, err)
	}
	return nil
}

// refusal gives an answer that is not 200 its kind. What etcd says before it proposes a request says that nothing happened; all the
// rest may come from a request on its way through the log.
func refusal(endpoint string, status int, text []byte, token *string) error {
	var f failure
	if json.Unmarshal(text, &f) != nil || f.text() == "" {
		if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
			return base.Errorf(base.Invalid, "etcd: %s has no /v3 gateway (status %d): it is no etcd, or its version is below 3.4, or it was started with --enable-grpc-gateway=false", endpoint, status)
		}
		return base.Errorf(base.Undetermined, "etcd: %s answers with status %d", endpoint, status)
	}
	message := strings.TrimPrefix(f.text(), "rpc error: ")
	fail := func(kind base.Kind, hint string) error {
		return base.Errorf(kind, "etcd: %s answers %q%s", endpoint, message, hint)
	}
	has := func(part string) bool { return strings.Contains(message, part) }
	switch {
	case has("invalid auth token"), has("revision of auth store is old"), has("revision in auth store is old"):
		if token != nil {
			return base.Wrap(base.Unavailable, &staleToken{token, message})
		}
		return fail(base.Invalid, needsUser)
	case has("user name is empty"), f.Code == codeUnauthenticated:
		return fail(base.Invalid, needsUser)
	case has("authentication is not enabled"):
		return fail(base.Invalid, " (leave USER:PASSWORD@ out of the URL, or enable authentication)")
	case f.Code == codePermissionDenied:
		return fail(base.Invalid, " (the user needs readwrite on all keys that start with the prefix and a slash)")
	case has("request is too large"):
		return fail(base.Invalid, " (etcd's --max-request-bytes has to be 1.5 MiB or more, which is its default)")
	case has("too many operations"):
		return fail(base.Invalid, " (etcd's --max-txn-ops has to be 128 or more, which is its default)")
	case has("too many requests"):
		return fail(base.Unavailable, "")
	case has("database space exceeded"):
		return fail(base.Undetermined, " (compact and defragment it, disarm the alarm, and let it compact by itself: --auto-compaction-retention=1h)")
	case f.Code == codeInvalidArgument, f.Code == codeFailedPrecondition, f.Code == codeUnimplemented:
		return fail(base.Invalid, "")
	}
	return fail(base.Undetermined, "")
}

const needsUser = " (give USER:PASSWORD@ in the URL)"

// Codes of gRPC.
const (
	codeInvalidArgument    = 3
	codePermissionDenied   = 7
	codeFailedPrecondition = 9
	codeUnimplemented      = 12
	codeUnauthenticated    = 16
)
