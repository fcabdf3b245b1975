package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
	"sluice/storage/objstore/driver"
)

// verifier is one verification.
type verifier struct {
	opt    Options
	reader *metalog.Reader
	limit  *limiter
	listed *listing
	stores map[string]driver.Store // of logs that are not in the bucket, by URL

	mu       sync.Mutex // guards what follows while workers run
	report   Report
	progress Progress
	doubtful map[base.ObjectID]struct{} // objects that looked wrong
}

// Verify checks a cluster from its bucket. The report is complete if the error is nil, and what was found until then otherwise; an error is
// NotFound or Invalid where there is no cluster to check, and the store's or the context's otherwise. Findings are in the report.
func Verify(ctx context.Context, opt Options) (*Report, error) {
	opt = opt.withDefaults()
	ctx = driver.WithPurpose(ctx, driver.PurposeVerify)
	began := opt.Now()
	v := &verifier{opt: opt, limit: newLimiter(opt.BytesPerSecond), doubtful: map[base.ObjectID]struct{}{}, stores: map[string]driver.Store{}}
	v.report.Deep, v.report.Findings = opt.Deep, []Finding{}
	err := v.run(ctx)
	v.report.TookMillis = opt.Now().Sub(began).Milliseconds()
	return &v.report, err
}

func (v *verifier) run(ctx context.Context) error {
	v.phase("metadata")
	r, err := openReader(ctx, v.opt)
	if base.IsKind(err, base.Corrupt) {
		v.found(finding(Unreadable, "%v", err).at(v.opt.Name+"/", ""))
		return nil
	}
	if err != nil {
		return err
	}
	v.reader = r
	c := newCatalogue(r.Image())
	v.report.Cluster, v.report.Position = c.img.ClusterID().String(), uint64(c.img.Pos())
	v.report.Ranges = c.count
	for range c.img.AllStreams() {
		v.report.Streams++
	}
	if err := v.opt.State.begin(v.report.Cluster, v.opt.Deep); err != nil {
		return err
	}
	if err := v.chain(ctx); err != nil {
		return err
	}
	v.phase("listing")
	if v.listed, err = v.list(ctx, c.img); err != nil {
		return err
	}
	if err := v.tail(ctx); err != nil {
		return err
	}
	if err := v.objects(ctx, c); err != nil {
		return err
	}
	v.phase("logs")
	logs, err := v.logs(ctx, c.img)
	if err != nil {
		return err
	}
	return v.secondLook(ctx, c, logs)
}

func openReader(ctx context.Context, opt Options) (*metalog.Reader, error) {
	mo := metalog.Options{Store: opt.Meta, Name: opt.Name, Logger: opt.Logger}
	if opt.Meta != opt.Bucket {
		mo.Snapshots = opt.Bucket
	}
	r, err := metalog.OpenReader(ctx, mo)
	if base.IsKind(err, base.NotFound) {
		return nil, base.Errorf(base.NotFound, "there is no cluster in %s", opt.Meta)
	}
	return r, err
}

// found takes a confirmed finding.
func (v *verifier) found(f Finding) {
	switch f.Severity {
	case Error:
		v.report.Errors++
	case Warning:
		v.report.Warnings++
	default:
		v.report.Notes++
	}
	v.report.Findings = append(v.report.Findings, f)
	v.opt.Found(f)
}

func (v *verifier) phase(name string) {
	v.progress.Phase = name
	v.opt.Progress(v.progress)
}

// objects looks at all committed objects, several at a time.
func (v *verifier) objects(ctx context.Context, c *catalogue) error {
	var todo []meta.Object
	v.progress.Bytes = 0
	for o := range c.img.Objects() {
		switch size, ok := v.listed.objects[o.ID]; {
		case o.State != meta.Committed:
			v.report.Other++
			continue
		case v.opt.State.has(o.ID) && ok && size == o.Size:
			v.report.Skipped++
			v.progress.Objects++
		default:
			todo = append(todo, o)
			v.progress.BytesTotal += o.Size
		}
		v.report.Objects++
		v.report.Bytes += o.Size
	}
	v.progress.ObjectsTotal = v.report.Objects
	v.phase("objects")
	return each(ctx, len(todo), v.opt.Parallel, func(ctx context.Context, i int) error {
		o := &todo[i]
		size, ok := v.listed.objects[o.ID]
		if !ok {
			size = -1
		}
		s, err := v.object(ctx, c, o, size)
		if err != nil {
			return fmt.Errorf("object %s: %w", c.key(o.ID), err)
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		v.note(o, &s)
		return nil
	})
}

func (v *verifier) note(o *meta.Object, s *seen) {
	v.report.Blocks += s.blocks
	v.report.Batches += s.batches
	v.report.Records += s.records
	v.progress.Objects++
	v.progress.Bytes += o.Size
	if len(s.findings) > 0 {
		v.doubtful[o.ID] = struct{}{}
		v.progress.Candidates = len(v.doubtful)
	} else {
		v.opt.State.add(o.ID)
	}
	v.opt.Progress(v.progress)
}

// each calls do for [0, n) on several goroutines, until one fails.
func each(ctx context.Context, n, parallel int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(parallel, n) {
		wg.Go(func() {
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

// secondLook looks again at what seemed wrong, and reports what still does.
func (v *verifier) secondLook(ctx context.Context, c *catalogue, logs []logFinding) error {
	v.phase("second look")
	wrong, err := v.confirm(ctx, c, len(c.wrong) > 0 || len(v.doubtful) > 0)
	if err != nil {
		return err
	}
	again, err := v.confirmLogs(ctx, logs)
	if err != nil {
		return err
	}
	orphans, err := v.orphans(ctx)
	if err != nil {
		return err
	}
	for _, f := range slices.Concat(wrong, again, orphans, v.listed.foreign) {
		v.found(f)
	}
	return nil
}

// confirm checks doubtful objects and the image itself against a newer image, and drops what a still newer one does not need.
func (v *verifier) confirm(ctx context.Context, c *catalogue, doubt bool) ([]Finding, error) {
	if !doubt {
		return nil, nil
	}
	if _, err := v.reader.Poll(ctx); err != nil {
		return nil, err
	}
	if v.reader.Image() != c.img {
		c = newCatalogue(v.reader.Image())
	}
	all := slices.Clone(c.wrong)
	for id := range v.doubtful {
		o, ok := c.img.Object(id)
		if !ok || o.State != meta.Committed {
			continue
		}
		s, err := v.object(ctx, c, &o, -1)
		if err != nil {
			return nil, fmt.Errorf("object %s: %w", c.key(id), err)
		}
		if all = append(all, s.findings...); len(s.findings) == 0 {
			v.opt.State.add(id)
		}
	}
	if _, err := v.reader.Poll(ctx); err != nil {
		return nil, err
	}
	img := v.reader.Image()
	all = slices.DeleteFunc(all, func(f Finding) bool { return !needed(img, &f) })
	slices.SortStableFunc(all, func(a, b Finding) int { return strings.Compare(a.Key, b.Key) })
	return all, nil
}

// needed reports whether what a finding is about still matters.
func needed(img *meta.Image, f *Finding) bool {
	if f.object != 0 && f.Kind != DanglingReference {
		if o, ok := img.Object(f.object); !ok || o.State != meta.Committed {
			return false
		}
	}
	if f.stream == 0 {
		return true
	}
	s, ok := img.Stream(f.stream)
	return ok && s.Start < f.rng.End
}

// orphans looks again at what the listing showed and nobody refers to.
func (v *verifier) orphans(ctx context.Context) (out []Finding, err error) {
	for _, f := range v.listed.orphans {
		switch _, err := f.store.Stat(ctx, f.Key); {
		case base.IsKind(err, base.NotFound):
			continue
		case err != nil:
			return nil, err
		}
		if v.opt.Now().Sub(f.modified) < v.opt.Grace {
			f.Severity = Note
		}
		out = append(out, f.Finding)
	}
	return out, nil
}

// orphan is a finding about a key that the listing showed.
type orphan struct {
	Finding
	modified time.Time
	store    driver.Store
}
