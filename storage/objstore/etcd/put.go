package etcd

import (
	"bytes"
	"context"
	"time"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// Put implements driver.Store. Objects of more than 120 MiB are refused.
func (s *Store) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	if err := begin(ctx, key); err != nil {
		return err
	}
	h := head{size: driver.BodySize(body), modified: time.Now().UnixMilli(), part: partBytes}
	switch {
	case h.size > partBytes*partsMax:
		return base.Errorf(base.Invalid, "put %s: %d bytes are too much for etcd; the most is %d", key, h.size, partBytes*partsMax)
	case h.size > partBytes:
		return s.putParts(ctx, key, h, bytes.Join(body, nil), opt)
	}
	from, to := s.partsOf(key)
	in := txnRequest{Success: []request{
		{Put: &putRequest{s.headKey(key), h.append(nil)}},
		{Put: &putRequest{s.bodyKey(key), bytes.Join(body, nil)}},
		{Delete: &deleteRequest{from, to}},
	}}
	if opt.IfAbsent {
		in.Compare = []compare{absent(s.headKey(key))}
	}
	out, err := s.txn(ctx, in)
	if err == nil && !out.Succeeded {
		err = base.Errorf(base.Exists, "exists already")
	}
	return explain(err, "put", key)
}

// putParts puts the parts and then, in one transaction, the head that makes them an object.
func (s *Store) putParts(ctx context.Context, key string, h head, body []byte, opt driver.PutOptions) error {
	if opt.IfAbsent { // spares the parts; what counts is the condition of the last request
		if _, err := s.Stat(ctx, key); err == nil {
			return base.Errorf(base.Exists, "put %s: exists already", key)
		}
	}
	h.id = base.NewUUID()
	before, upTo := s.partsBefore(key, h.id)
	behind, end := s.partsAfter(key, h.id)
	in := txnRequest{
		Success: []request{
			{Put: &putRequest{s.headKey(key), h.append(nil)}},
			{Delete: &deleteRequest{Key: s.bodyKey(key)}},
			{Delete: &deleteRequest{before, upTo}},
			{Delete: &deleteRequest{behind, end}},
		},
		Failure: []request{{Range: &rangeRequest{Key: s.headKey(key)}}},
	}
	for n := 0; n*partBytes < len(body); n++ {
		part := s.partKey(key, h.id, n)
		value := body[n*partBytes : min(len(body), (n+1)*partBytes)]
		var out rangeResponse // only the header, of which both answers have one
		if err := s.read(ctx, "/v3/kv/put", putRequest{part, value}, &out); err != nil {
			s.dropParts(ctx, key, h.id)
			return explain(err, "put a part of", key)
		}
		in.Compare = append(in.Compare, present(part))
	}
	if opt.IfAbsent {
		in.Compare = append(in.Compare, absent(s.headKey(key)))
	}
	out, err := s.txn(ctx, in)
	if err != nil {
		if base.KindOf(err) != base.Undetermined {
			s.dropParts(ctx, key, h.id)
		}
		return explain(err, "put", key)
	}
	if out.Succeeded {
		return nil
	}
	s.dropParts(ctx, key, h.id)
	if opt.IfAbsent && len(out.Responses) == 1 && out.Responses[0].Range != nil && len(out.Responses[0].Range.KVs) > 0 {
		return base.Errorf(base.Exists, "put %s: exists already", key)
	}
	return base.Errorf(base.Unavailable, "put %s: its parts were removed by another put or a delete of the key", key)
}

// dropParts frees the parts of a put that came to nothing. What it fails to free the next put or delete of the key does.
func (s *Store) dropParts(ctx context.Context, key string, id base.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, from := s.partsBefore(key, id)
	to, _ := s.partsAfter(key, id)
	_, _ = s.txn(ctx, txnRequest{Success: []request{{Delete: &deleteRequest{from, to}}}})
}

// Delete implements driver.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := begin(ctx, key); err != nil {
			return err
		}
	}
	for len(keys) > 0 {
		batch := keys[:min(len(keys), deleteBatch)]
		keys = keys[len(batch):]
		var in txnRequest
		for _, key := range batch {
			from, to := s.partsOf(key)
			in.Success = append(in.Success, request{Delete: &deleteRequest{Key: s.headKey(key)}},
				request{Delete: &deleteRequest{Key: s.bodyKey(key)}}, request{Delete: &deleteRequest{from, to}})
		}
		var out txnResponse
		if err := s.read(ctx, "/v3/kv/txn", in, &out); err != nil {
			return explain(err, "delete", batch[0])
		}
	}
	return nil
}

func begin(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return base.Wrap(base.Unavailable, err)
	}
	return driver.CheckKey(key)
}

// explain says what was being done when an error came up.
func explain(err error, op, key string) error {
	if err == nil {
		return nil
	}
	return base.Errorf(base.KindOf(err), "%s %s: %w", op, key, err)
}
