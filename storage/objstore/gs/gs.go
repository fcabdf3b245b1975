package gs

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"golang.org/x/sync/errgroup"

	"sluice/base"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/request"
)

const (
	scope           = "https://www.googleapis.com/auth/devstorage.read_write"
	deletesInFlight = 16
	pageObjects     = 1000 // the store's limit
	boundary        = "sluice-b4ac7f2e1d9c4f57a6d0"
)

// Store is a bucket, or the part of it below a prefix.
type Store struct {
	settings
	client *http.Client
	token  oauth2.TokenSource // nil: no credentials are sent
}

var _ driver.Store = (*Store)(nil)

// Open opens the bucket that the URL names with the Application Default Credentials: the file that GOOGLE_APPLICATION_CREDENTIALS names, that
// of gcloud, or the metadata server. It does not contact the bucket. Errors are Invalid.
func Open(ctx context.Context, rawURL string) (*Store, error) {
	s, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	st := &Store{settings: s, client: request.NewClient(s.timeout)}
	if s.anonymous {
		return st, nil
	}
	// The tokens outlive ctx, and need no more of a client than that.
	tokens := context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, &http.Client{Timeout: request.Timeout})
	found, err := google.FindDefaultCredentials(tokens, scope)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "bucket %s: no Google credentials: set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, run `gcloud auth application-default login`, or run with a service account of the machine: %w", s.url, err)
	}
	st.token = found.TokenSource
	return st, nil
}

func (s *Store) String() string { return s.url }

func (s *Store) sign(r *http.Request) error {
	if s.token == nil {
		return nil
	}
	token, err := s.token.Token()
	if err != nil {
		return base.Errorf(base.Unavailable, "token of the Google credentials: %w", err)
	}
	token.SetAuthHeader(r)
	return nil
}

// do sends a call and names the operation in its error.
func (s *Store) do(ctx context.Context, c request.Call, op, key string) (*request.Answer, error) {
	c.Sign, c.Failure = s.sign, failure
	answer, err := c.Do(ctx, s.client, s.timeout)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", op, key, err)
	}
	return answer, nil
}

func (s *Store) object(key string) string {
	return s.endpoint + "/storage/v1/b/" + s.bucket + "/o/" + url.PathEscape(s.prefix+key)
}

// resource is what the store says of an object, and what it is told.
type resource struct {
	Name         string `json:"name"`
	CRC32C       string `json:"crc32c,omitempty"`
	StorageClass string `json:"storageClass,omitempty"`
	Size         string `json:"size,omitempty"`
	Updated      string `json:"updated,omitempty"`
}

// Put implements driver.Store.
func (s *Store) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	if err := request.Begin(ctx, key); err != nil {
		return err
	}
	sum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, request.CRC32C(body)))
	about := resource{Name: s.prefix + key, CRC32C: sum}
	if opt.Cold {
		about.StorageClass = s.storageClass
	}
	described, err := json.Marshal(about)
	if err != nil {
		return base.Wrap(base.Invalid, err)
	}
	head := fmt.Appendf(nil, "--%s\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%s\r\n--%s\r\nContent-Type: application/octet-stream\r\n\r\n", boundary, described, boundary)
	parts := append(append([][]byte{head}, body...), []byte("\r\n--"+boundary+"--\r\n"))
	query := url.Values{"uploadType": {"multipart"}, "fields": {"crc32c"}}
	if opt.IfAbsent {
		query.Set("ifGenerationMatch", "0")
	}
	if s.kmsKey != "" {
		query.Set("kmsKeyName", s.kmsKey)
	}
	answer, err := s.do(ctx, request.Call{Op: driver.OpPut, Method: http.MethodPost, Writes: true, Body: parts,
		URL:    s.endpoint + "/upload/storage/v1/b/" + s.bucket + "/o?" + query.Encode(),
		Header: http.Header{"Content-Type": {"multipart/related; boundary=" + boundary}}}, "put", key)
	if err != nil {
		return err
	}
	defer answer.Close()
	var stored resource
	if text, err := answer.ReadAll(); err != nil || json.Unmarshal(text, &stored) != nil {
		return base.Errorf(base.Undetermined, "put %s: the answer is cut off", key)
	}
	if stored.CRC32C != sum {
		return base.Errorf(base.Corrupt, "put %s: the store has CRC32C %q, sent was %q", key, stored.CRC32C, sum)
	}
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
	c := request.Call{Op: driver.OpGet, Method: http.MethodGet, URL: s.object(key) + "?alt=media", Bytes: n}
	if n < 0 {
		c.Bytes = 64 << 20
	}
	if r := request.RangeHeader(off, n); r != "" {
		c.Header = http.Header{"Range": {r}}
	}
	answer, err := s.do(ctx, c, "get", key)
	if err != nil {
		if n < 0 && base.KindOf(err) == base.OutOfRange { // the empty range at the end of an object
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
	var r resource
	err := s.fetch(ctx, request.Call{Op: driver.OpStat, Method: http.MethodGet, URL: s.object(key) + "?fields=name,size,updated"}, "stat", key, &r)
	if err != nil {
		return driver.Info{}, err
	}
	return r.info(key)
}

// fetch sends a call and decodes its answer.
func (s *Store) fetch(ctx context.Context, c request.Call, op, key string, into any) error {
	answer, err := s.do(ctx, c, op, key)
	if err != nil {
		return err
	}
	defer answer.Close()
	text, err := answer.ReadAll()
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return base.Errorf(base.Unavailable, "%s %s: %w", op, key, err)
	}
	return nil
}

func (r *resource) info(key string) (driver.Info, error) {
	size, err1 := strconv.ParseInt(r.Size, 10, 64)
	at, err2 := time.Parse(time.RFC3339, r.Updated)
	if err1 != nil || err2 != nil {
		return driver.Info{}, base.Errorf(base.Unavailable, "%s: the answer lacks size or time: %q, %q", key, r.Size, r.Updated)
	}
	return driver.Info{Key: key, Size: size, Modified: at}, nil
}

// page is one of a listing.
type page struct {
	Items []resource `json:"items"`
	Next  string     `json:"nextPageToken"`
}

// List implements driver.Store.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		query := url.Values{"prefix": {s.prefix + prefix}, "maxResults": {strconv.Itoa(pageObjects)}, "fields": {"items(name,size,updated),nextPageToken"}}
		if after != "" {
			query.Set("startOffset", s.prefix+after)
		}
		last := after
		for {
			var p page
			err := ctx.Err()
			if err != nil {
				err = base.Wrap(base.Unavailable, err)
			} else {
				err = s.fetch(ctx, request.Call{Op: driver.OpList, Method: http.MethodGet, URL: s.endpoint + "/storage/v1/b/" + s.bucket + "/o?" + query.Encode()}, "list", prefix, &p)
			}
			if err != nil {
				yield(driver.Info{}, err)
				return
			}
			for _, r := range p.Items {
				info, skip, err := s.listed(r, prefix, after, last)
				if skip {
					continue
				}
				if !yield(info, err) || err != nil {
					return
				}
				last = info.Key
			}
			if p.Next == "" {
				return
			}
			if p.Next == query.Get("pageToken") {
				yield(driver.Info{}, base.Errorf(base.Unavailable, "list %q: the next page is the same", prefix))
				return
			}
			query.Set("pageToken", p.Next)
		}
	}
}

// listed checks one object of a listing. Those that no key of ours can name are skipped, and after itself.
func (s *Store) listed(r resource, prefix, after, last string) (info driver.Info, skip bool, err error) {
	key, inside := bytes.CutPrefix([]byte(r.Name), []byte(s.prefix))
	name := string(key)
	if !inside || driver.CheckKey(name) != nil || name == after {
		return info, true, nil
	}
	if name <= last && last != "" {
		return info, false, base.Errorf(base.Corrupt, "list %q: the store lists %q after %q", prefix, name, last)
	}
	info, err = r.info(name)
	return info, false, err
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
			answer, err := s.do(ctx, request.Call{Op: driver.OpDelete, Method: http.MethodDelete, URL: s.object(key)}, "delete", key)
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
