package etcd

import (
	"context"
	"iter"
	"slices"
	"strings"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// getAttempts bounds how often a read of a large object begins anew because it was replaced meanwhile.
const getAttempts = 8

// Get implements driver.Store. An object of one part takes one request and is read whole whatever the range, for etcd has no ranges.
func (s *Store) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	if err := begin(ctx, key); err != nil {
		return dst, err
	}
	if off < 0 {
		return dst, base.Errorf(base.Invalid, "get %s: negative offset %d", key, off)
	}
	if n == 0 {
		return dst, nil
	}
	for range getAttempts {
		out, whole, err := s.tryGet(ctx, key, off, n, dst)
		if err != nil {
			return dst, explain(err, "get", key)
		}
		if whole {
			return out, nil
		}
	}
	return dst, base.Errorf(base.Unavailable, "get %s: it was replaced %d times while it was being read", key, getAttempts)
}

// tryGet reads once; whole is false when the object was replaced or deleted under way.
func (s *Store) tryGet(ctx context.Context, key string, off, n int64, dst []byte) (_ []byte, whole bool, err error) {
	var out txnResponse
	err = s.read(ctx, "/v3/kv/txn", txnRequest{Success: []request{
		{Range: &rangeRequest{Key: s.headKey(key)}}, {Range: &rangeRequest{Key: s.bodyKey(key)}},
	}}, &out)
	if err != nil {
		return dst, false, err
	}
	if len(out.Responses) != 2 || out.Responses[0].Range == nil || out.Responses[1].Range == nil {
		return dst, false, base.Errorf(base.Unavailable, "etcd answered two reads with %d results", len(out.Responses))
	}
	h, err := oneHead(out.Responses[0].Range)
	if err != nil {
		return dst, false, err
	}
	if off > h.size || n > h.size-off {
		return dst, false, base.Errorf(base.OutOfRange, "%d bytes from %d of an object of %d", n, off, h.size)
	}
	end := h.size
	if n > 0 {
		end = off + n
	}
	if !h.id.IsZero() {
		return s.getParts(ctx, key, h, off, end, dst)
	}
	var body []byte
	if kvs := out.Responses[1].Range.KVs; len(kvs) == 1 {
		body = kvs[0].Value
	} else {
		return dst, false, base.Errorf(base.Corrupt, "etcd has the head but not the body")
	}
	if int64(len(body)) != h.size {
		return dst, false, base.Errorf(base.Corrupt, "a body of %d bytes, the head says %d", len(body), h.size)
	}
	return append(dst, body[off:end]...), true, nil
}

// getParts reads the bytes [off, end) of an object in parts.
func (s *Store) getParts(ctx context.Context, key string, h head, off, end int64, dst []byte) (_ []byte, whole bool, err error) {
	buf := slices.Grow(dst, int(end-off))
	part := int64(h.part)
	for at := off; at < end; {
		n := at / part
		var out rangeResponse
		if err := s.read(ctx, "/v3/kv/range", rangeRequest{Key: s.partKey(key, h.id, int(n))}, &out); err != nil {
			return dst, false, err
		}
		if len(out.KVs) == 0 {
			return dst, false, s.replaced(ctx, key, h, n)
		}
		value := out.KVs[0].Value
		if want := min(part, h.size-n*part); int64(len(value)) != want {
			return dst, false, base.Errorf(base.Corrupt, "part %d has %d bytes, want %d", n, len(value), want)
		}
		upTo := min(end, (n+1)*part)
		buf = append(buf, value[at-n*part:upTo-n*part]...)
		at = upTo
	}
	return buf, true, nil
}

// replaced returns nil if the object of head h is no more, which is why part n of it is missing.
func (s *Store) replaced(ctx context.Context, key string, h head, n int64) error {
	var out rangeResponse
	if err := s.read(ctx, "/v3/kv/range", rangeRequest{Key: s.headKey(key)}, &out); err != nil {
		return err
	}
	now, err := oneHead(&out)
	if err == nil && now.id == h.id {
		return base.Errorf(base.Corrupt, "part %d is missing", n)
	}
	return err
}

// oneHead returns the head that an answer holds; the error is NotFound when there is none.
func oneHead(r *rangeResponse) (head, error) {
	if len(r.KVs) == 0 {
		return head{}, base.Errorf(base.NotFound, "does not exist")
	}
	return decodeHead(r.KVs[0].Value)
}

// Stat implements driver.Store. Modified is the time of the put by the clock of whoever put it.
func (s *Store) Stat(ctx context.Context, key string) (driver.Info, error) {
	if err := begin(ctx, key); err != nil {
		return driver.Info{}, err
	}
	var out rangeResponse
	err := s.read(ctx, "/v3/kv/range", rangeRequest{Key: s.headKey(key)}, &out)
	var h head
	if err == nil {
		h, err = oneHead(&out)
	}
	if err != nil {
		return driver.Info{}, explain(err, "stat", key)
	}
	return driver.Info{Key: key, Size: h.size, Modified: h.time()}, nil
}

// List implements driver.Store.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		for {
			page, more, err := s.page(ctx, prefix, after)
			if err != nil {
				yield(driver.Info{}, explain(err, "list", prefix))
				return
			}
			for _, info := range page {
				if !yield(info, nil) {
					return
				}
				after = info.Key
			}
			if !more {
				return
			}
		}
	}
}

// page returns the objects of one request of a listing, and whether there are more.
func (s *Store) page(ctx context.Context, prefix, last string) (page []driver.Info, more bool, err error) {
	heads := string(s.headKey(""))
	in := rangeRequest{Key: []byte(heads + prefix), RangeEnd: after([]byte(heads + prefix)), Limit: listPage}
	if last >= prefix && last != "" {
		in.Key = []byte(heads + last + "\x00")
	}
	if string(in.Key) >= string(in.RangeEnd) {
		return nil, false, nil
	}
	var out rangeResponse
	if err := s.read(ctx, "/v3/kv/range", in, &out); err != nil {
		return nil, false, err
	}
	for _, kv := range out.KVs {
		h, err := decodeHead(kv.Value)
		key, inside := strings.CutPrefix(string(kv.Key), heads)
		if err != nil {
			return nil, false, base.Errorf(base.Corrupt, "%q: %w", kv.Key, err)
		}
		if !inside || key <= last && last != "" {
			return nil, false, base.Errorf(base.Corrupt, "etcd lists %q after %q", kv.Key, last)
		}
		page = append(page, driver.Info{Key: key, Size: h.size, Modified: h.time()})
		last = key
	}
	return page, out.More && len(page) > 0, nil
}
