package request

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

const (
	transportBuffer = 128 << 10
	idleConnections = 256
	errorBodyMax    = 16 << 10
	jsonBodyMax     = 64 << 20 // of a page of a listing
)

// NewClient returns a client whose connections and buffers fit many big requests at a time; timeout as New. It follows no redirects.
func NewClient(timeout time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second,
			ResponseHeaderTimeout: max(timeout, Timeout), MaxIdleConns: idleConnections, MaxIdleConnsPerHost: idleConnections,
			IdleConnTimeout: time.Minute, ReadBufferSize: transportBuffer, WriteBufferSize: transportBuffer, DisableCompression: true,
		},
	}
}

// Call is one request of a store that is spoken to without a client library.
type Call struct {
	Op     driver.Op
	Method string
	URL    string
	Header http.Header // may be nil
	Body   [][]byte    // may be nil; it is left alone once Do has returned
	Writes bool        // it makes an object visible: see Attempt.Wrote
	Bytes  int64       // that the answer may carry; they lengthen the deadline
	// Sign puts the credentials onto the request; nil: none. Its error's kind is kept.
	Sign func(*http.Request) error
	// Failure turns an answer that is no success into an error, with kind Unknown if it says nothing for certain.
	Failure func(status int, header http.Header, body []byte) error
}

// Answer is a successful answer. Close it.
type Answer struct {
	*http.Response
	end context.CancelFunc
}

// Close frees the connection.
func (a *Answer) Close() {
	a.Body.Close()
	a.end()
}

// Do sends the request. An error's kind says what is known, as in package driver. The body's memory is the caller's again when it has returned.
func (c *Call) Do(ctx context.Context, client *http.Client, timeout time.Duration) (*Answer, error) {
	size := driver.BodySize(c.Body)
	ctx, a := New(ctx, timeout, size+c.Bytes)
	answer, err := c.send(ctx, client, size)
	if answer != nil && answer.StatusCode/100 == 2 {
		return &Answer{answer, a.End}, nil
	}
	defer a.End()
	if answer != nil {
		defer answer.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(answer.Body, errorBodyMax))
		err = c.Failure(answer.StatusCode, answer.Header, text)
	}
	kind := base.Unknown // also when the context has ended: the request may be on its way
	if known, ok := errors.AsType[*base.Error](err); ok {
		kind = known.Kind
	}
	if c.Writes {
		kind = a.Wrote(kind)
	} else {
		kind = a.Read(kind)
	}
	return nil, base.Wrap(kind, err)
}

func (c *Call) send(ctx context.Context, client *http.Client, size int64) (*http.Response, error) {
	var body io.Reader
	if size > 0 {
		src := NewSource(c.Body)
		defer src.Detach()
		body = io.NopCloser(src)
	}
	req, err := http.NewRequestWithContext(ctx, c.Method, c.URL, body)
	if err != nil {
		return nil, base.Wrap(base.Invalid, err)
	}
	req.ContentLength = size
	for name, values := range c.Header {
		req.Header[name] = slices.Clone(values)
	}
	if c.Sign != nil {
		if err := c.Sign(req); err != nil {
			return nil, err
		}
	}
	answer, err := client.Do(req)
	if r := driver.RecorderOf(ctx); r != nil {
		received := int64(0)
		if answer != nil && c.Op == driver.OpGet {
			received = max(answer.ContentLength, 0)
		}
		r.Record(c.Op, size, received)
	}
	return answer, err
}

// ReadAll reads an answer that is no object's content.
func (a *Answer) ReadAll() ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(a.Body, jsonBodyMax))
	if err != nil {
		return nil, base.Errorf(base.Unavailable, "the answer broke off: %w", err)
	}
	return b, nil
}

// ReadInto appends the content that was asked for, n bytes from off on, to dst. On error the slice returned is dst.
func (a *Answer) ReadInto(dst []byte, off, n int64) ([]byte, error) {
	want, err := Answered(a.ContentLength, a.Header.Get("Content-Range"), off, n)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	buf := slices.Grow(dst, int(want))[:start+int(want)]
	if _, err := io.ReadFull(a.Body, buf[start:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return dst, base.Errorf(base.Unavailable, "the answer broke off: %w", err)
	}
	return buf, nil
}

// StatusKind is what a status says by itself; Unknown: nothing for certain.
func StatusKind(status int) base.Kind {
	switch {
	case status == http.StatusPreconditionFailed:
		return base.Exists
	case status == http.StatusNotFound:
		return base.NotFound
	case status == http.StatusRequestedRangeNotSatisfiable:
		return base.OutOfRange
	case status == http.StatusTooManyRequests:
		return base.Unavailable
	case status == http.StatusRequestTimeout || status == http.StatusConflict:
		return base.Undetermined
	case status >= 300 && status < 500:
		return base.Invalid
	}
	return base.Unknown
}
