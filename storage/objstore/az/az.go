package az

import (
	"context"
	"crypto/md5" //nolint:gosec // what Put Blob checks
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/base"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/request"
)

const (
	apiVersion      = "2021-12-02"
	deletesInFlight = 16
	pageBlobs       = 5000 // the store's limit
)

// Store is a container, or the part of it below a prefix.
type Store struct {
	settings
	client *http.Client
	auth   credential
}

var _ driver.Store = (*Store)(nil)

// Open opens the container that the URL names. getenv is the environment, where the credentials are: see newCredential. It does not contact the
// store. Errors are Invalid.
func Open(_ context.Context, rawURL string, getenv func(string) string) (*Store, error) {
	s, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	auth, err := newCredential(s.account, getenv)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", s.url, err)
	}
	return &Store{settings: s, client: request.NewClient(s.timeout), auth: auth}, nil
}

func (s *Store) String() string { return s.url }

// do sends a call and names the operation in its error.
func (s *Store) do(ctx context.Context, c request.Call, op, key string) (*request.Answer, error) {
	if c.Header == nil {
		c.Header = http.Header{}
	}
	c.Header.Set("X-Ms-Version", apiVersion)
	c.Header.Set("X-Ms-Date", time.Now().UTC().Format(http.TimeFormat))
	c.Sign, c.Failure = s.auth.sign, failure
	answer, err := c.Do(ctx, s.client, s.timeout)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", op, key, err)
	}
	return answer, nil
}

func (s *Store) blob(key string) string {
	parts := strings.Split(s.prefix+key, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return s.endpoint + "/" + s.container + "/" + strings.Join(parts, "/")
}

// Put implements driver.Store.
func (s *Store) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	if err := request.Begin(ctx, key); err != nil {
		return err
	}
	sum := md5.New() //nolint:gosec // as above
	for _, b := range body {
		sum.Write(b)
	}
	h := http.Header{"X-Ms-Blob-Type": {"BlockBlob"}, "Content-Md5": {base64.StdEncoding.EncodeToString(sum.Sum(nil))}, "Content-Type": {"application/octet-stream"}}
	if opt.IfAbsent {
		h.Set("If-None-Match", "*")
	}
	if opt.Cold && s.tier != "" {
		h.Set("X-Ms-Access-Tier", s.tier)
	}
	answer, err := s.do(ctx, request.Call{Op: driver.OpPut, Method: http.MethodPut, URL: s.blob(key), Header: h, Body: body, Writes: true}, "put", key)
	if err != nil {
		return err
	}
	answer.Close()
	return nil
}

// Get implements driver.Store.
func (s *Store) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	if err := request.Begin(ctx, key); err != nil {
		return dst, err
	}
	if off < 0 {
		return dst, base.Errorf(base.Invalid, "get %s: negative offset %d", key, off)
	}
	if n == 0 {
		return dst, nil
	}
	c := request.Call{Op: driver.OpGet, Method: http.MethodGet, URL: s.blob(key), Bytes: n}
	if n < 0 {
		c.Bytes = 64 << 20
	}
	if r := request.RangeHeader(off, n); r != "" {
		c.Header = http.Header{"Range": {r}}
	}
	answer, err := s.do(ctx, c, "get", key)
	if err != nil {
		if n < 0 && base.KindOf(err) == base.OutOfRange { // the empty range at the end of a blob
			if info, statErr := s.Stat(ctx, key); statErr == nil && info.Size == off {
				return dst, nil
			}
		}
		return dst, err
	}
	defer answer.Close()
	out, err := answer.ReadInto(dst, off, n)
	if err != nil {
		return dst, fmt.Errorf("get %s: %w", key, err)
	}
	return out, nil
}

// Stat implements driver.Store.
func (s *Store) Stat(ctx context.Context, key string) (driver.Info, error) {
	if err := request.Begin(ctx, key); err != nil {
		return driver.Info{}, err
	}
	answer, err := s.do(ctx, request.Call{Op: driver.OpStat, Method: http.MethodHead, URL: s.blob(key)}, "stat", key)
	if err != nil {
		return driver.Info{}, err
	}
	defer answer.Close()
	return info(key, answer.Header.Get("Content-Length"), answer.Header.Get("Last-Modified"))
}

func info(key, size, modified string) (driver.Info, error) {
	n, err1 := strconv.ParseInt(size, 10, 64)
	at, err2 := http.ParseTime(modified)
	if err1 != nil || err2 != nil {
		return driver.Info{}, base.Errorf(base.Unavailable, "%s: the answer lacks size or time: %q, %q", key, size, modified)
	}
	return driver.Info{Key: key, Size: n, Modified: at}, nil
}

// page is one of a listing.
type page struct {
	Blobs []struct {
		Name         string `xml:"Name"`
		Size         string `xml:"Properties>Content-Length"`
		LastModified string `xml:"Properties>Last-Modified"`
	} `xml:"Blobs>Blob"`
	Next string `xml:"NextMarker"`
}

// List implements driver.Store.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		last, marker := after, ""
		for {
			p, err := s.page(ctx, prefix, marker)
			if err != nil {
				yield(driver.Info{}, err)
				return
			}
			seen := ""
			for _, b := range p.Blobs {
				key, inside := strings.CutPrefix(b.Name, s.prefix)
				if !inside || driver.CheckKey(key) != nil {
					continue
				}
				if key <= seen && seen != "" || key <= last && last != after {
					yield(driver.Info{}, base.Errorf(base.Corrupt, "list %q: the store lists %q after %q", prefix, key, max(seen, last)))
					return
				}
				if seen = key; key <= after {
					continue
				}
				found, err := info(key, b.Size, b.LastModified)
				if !yield(found, err) || err != nil {
					return
				}
				last = key
			}
			if p.Next == "" {
				return
			}
			if p.Next == marker {
				yield(driver.Info{}, base.Errorf(base.Unavailable, "list %q: the next page is the same", prefix))
				return
			}
			marker = p.Next
		}
	}
}

func (s *Store) page(ctx context.Context, prefix, marker string) (p page, err error) {
	if err := ctx.Err(); err != nil {
		return p, base.Wrap(base.Unavailable, err)
	}
	query := url.Values{"restype": {"container"}, "comp": {"list"}, "prefix": {s.prefix + prefix}, "maxresults": {strconv.Itoa(pageBlobs)}}
	if marker != "" {
		query.Set("marker", marker)
	}
	answer, err := s.do(ctx, request.Call{Op: driver.OpList, Method: http.MethodGet, URL: s.endpoint + "/" + s.container + "?" + query.Encode()}, "list", prefix)
	if err != nil {
		return p, err
	}
	defer answer.Close()
	text, err := answer.ReadAll()
	if err == nil {
		err = xml.Unmarshal(text, &p)
	}
	if err != nil {
		return p, base.Errorf(base.Unavailable, "list %q: %w", prefix, err)
	}
	return p, nil
}

// Delete implements driver.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := request.Begin(ctx, key); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(deletesInFlight)
	for _, key := range keys {
		group.Go(func() error {
			answer, err := s.do(ctx, request.Call{Op: driver.OpDelete, Method: http.MethodDelete, URL: s.blob(key)}, "delete", key)
			if base.IsKind(err, base.NotFound) {
				return nil
			}
			if err == nil {
				answer.Close()
			}
			return err
		})
	}
	return group.Wait()
}

// CreateContainer creates the container, which Open expects to exist; one that exists is fine.
func (s *Store) CreateContainer(ctx context.Context) error {
	answer, err := s.do(ctx, request.Call{Op: driver.OpPut, Method: http.MethodPut, URL: s.endpoint + "/" + s.container + "?restype=container"}, "create container", s.container)
	if err == nil {
		answer.Close()
	} else if strings.Contains(err.Error(), "ContainerAlreadyExists") {
		err = nil
	}
	return err
}
