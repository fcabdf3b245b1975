package compact

import (
	"fmt"
	"testing"
	"time"

	"sluice/base"
	"sluice/storage/stream"
)

// requests is what executions would ask of the store.
type requests struct{ gets, puts, commits int64 }

// carryOut counts one job. A long stretch of a stream is read by itself, everything else by windows.
func (q *requests) carryOut(j *Job, lim Limits, cursorBytes int64) {
	x := newExecution(&Env{}, j, lim, cursorBytes)
	windowed, shared, total := int64(0), int64(0), int64(0)
	for _, r := range j.Runs {
		for _, p := range r.Pieces {
			if p.Bytes > x.window {
				q.gets += (p.Bytes + max(x.long, x.window) - 1) / max(x.long, x.window)
			} else {
				windowed += p.Bytes
			}
		}
		if r.Kind == stream.SO {
			q.puts += 1 + r.Bytes/lim.MaxObject
		} else {
			shared += r.Bytes
		}
		total += r.Bytes
	}
	q.gets += int64(len(j.Sources)) + windowed/x.window
	q.puts += (shared + lim.MaxObject - 1) / lim.MaxObject
	q.commits += 1 + total/(commitObjects*lim.MaxObject)
}

// TestPriceOfRewriting: what compaction asks for at 50 MB/s in real sizes, by list prices of S3 ($5 for a million puts, $0.4 for a million GETs), with the memory that a broker of
// so much gives it (package config): a round every five minutes, objects old after ten. Where uploads hold 8 MiB of every stream there is nothing to do, and where readers have not the memory
// for so much of each stream, less is enough; unless so many bytes are kept that ranges have to be large for the sake of the metadata.
func TestPriceOfRewriting(t *testing.T) {
	const minute, rate = 60_000, 50e6
	for _, c := range []struct {
		memory  int64 // MiB of the broker
		streams int
		kept    bool    // so much that ranges of 8 MiB are asked for
		most    float64 // dollars per GiB that comes in
	}{{1024, 10, false, 0}, {1024, 1000, false, 0.00019}, {1024, 1000, true, 0.00042}, {2048, 1000, false, 0.00013}, {2048, 1000, true, 0.00025},
		{4096, 10, false, 0}, {4096, 1000, false, 0.00012}, {4096, 1000, true, 0.00012}} {
		if testing.Short() && c.streams > 10 {
			continue // one goroutine: nothing for the race detector, and long under it
		}
		t.Run(fmt.Sprint(c.memory, "MiB ", c.streams, " ", c.kept), func(t *testing.T) {
			opt := Options{MemoryBytes: min(c.memory<<20/10, 512<<20), ReaderBytes: c.memory << 20 / 5}.withDefaults()
			if c.kept {
				opt.ReaderBytes = 0
			}
			lim := opt.limits()
			lim.SplitAgeMS = 10 * minute
			w, q := newWorld(lim), requests{}
			upload := c.memory << 20 / 10
			for due, m := 0.0, 1; m <= 20; m++ {
				w.nowMS += minute
				for due += 60; due >= float64(upload)/rate; due -= float64(upload) / rate {
					w.upload(uniform(c.streams, upload/int64(c.streams))(0), 64<<20)
				}
				for again := m%5 == 0; again; {
					jobs := Plan(w.view(), lim, w.nowMS, w.fresh)
					for i := range jobs {
						q.carryOut(&jobs[i], lim, opt.cursorBytes())
						w.execute(t, jobs[i])
					}
					w.finishObjects()
					again = len(jobs) > 0
				}
			}
			gib := float64(w.ingested) / (1 << 30)
			price := (float64(q.gets)*0.4e-6 + float64(q.puts+q.commits)*5e-6) / gib
			result := fmt.Sprintf("$%.6f per GiB: %.0f GETs, %.0f puts, %.0f commits; every byte written %.2f times", price, float64(q.gets)/gib, float64(q.puts)/gib,
				float64(q.commits)/gib, float64(w.written)/float64(w.ingested))
			t.Log(result)
			if price > c.most {
				t.Error(result)
			}
		})
	}
}

// TestEnough: ranges are as large as half the memory of readers holds of all streams together, of those that have something, or as the number of ranges asks for.
func TestEnough(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ readers, streams, each, want int64 }{
		{0, 1000, 1 * mib, 8 * mib}, {200 * mib, 10, 100 * mib, 8 * mib}, {200 * mib, 50, 100 * mib, 2 * mib}, {200 * mib, 1000, mib / 10, mib / 2},
		{200 * mib, 1000, 500 * mib, mib}, {200 * mib, 1000, 5000 * mib, 8 * mib},
	} {
		p := planner{lim: Limits{Enough: 8 * mib, Readers: c.readers}}
		for id := range c.streams {
			for _, bytes := range []int64{c.each, c.each / 100} { // the partition's records, and what is noted of it
				p.pieces = append(p.pieces, segPiece{base.StreamID(2*id + bytes/c.each), JobPiece{Bytes: bytes}})
			}
		}
		if got := p.enough(); got != c.want {
			t.Errorf("%d streams of %d bytes, readers have %d: %d, want %d", c.streams, c.each, c.readers, got, c.want)
		}
	}
}

// TestKeepsUp: at 50 MB/s to many partitions, compaction with the bandwidth it has by default brings everything near its last form, so that what is not, and with it the
// number of ranges beyond the bytes kept, stays the same however long it goes on; with 50 MiB/s and no more it falls behind.
func TestKeepsUp(t *testing.T) {
	if testing.Short() {
		return // see TestPriceOfRewriting
	}
	const minute, rate, streams, upload = 60_000, 50_000_000, 80, 102 << 20
	opt := Options{MemoryBytes: upload}.withDefaults()
	lim := opt.limits()
	lim.SplitAgeMS = 10 * minute
	const defaultFollow = 6 // compaction-bandwidth-factor
	behind := func(least, factor float64) (pending []int64) {
		w, uploaded := newWorld(lim), int64(0)
		budget := &ingest{total: func() int64 { return uploaded }, factor: factor}
		start := time.Unix(0, 0)
		budget.need(start)
		for due, m, left := 0.0, 1, 0.0; m <= 24; m++ {
			w.nowMS += minute
			for due += 60; due >= float64(upload)/rate; due -= float64(upload) / rate {
				w.upload(uniform(streams, upload/streams)(0), 64<<20)
				uploaded += upload
			}
			second := max(least, budget.need(start.Add(time.Duration(m)*time.Minute)))
			left = min(left, second) + 60*second
			for left > 0 {
				jobs := Plan(w.view(), lim, w.nowMS, w.fresh)
				if len(jobs) == 0 {
					break
				}
				for i := range jobs {
					if left > 0 {
						left -= 2 * float64(jobs[i].Bytes)
						w.execute(t, jobs[i])
					}
				}
				w.finishObjects()
			}
			if m%12 == 0 {
				bytes := int64(0)
				for _, o := range w.view().Objects {
					if o.Kind == stream.SSO && 2*o.live() < lim.Enough*int64(len(o.Ranges)) {
						bytes += o.live()
					}
				}
				pending = append(pending, bytes>>20)
			}
		}
		t.Logf("%.0f MiB/s or %.0f times what comes in: after 12 and 24 minutes %d MiB have less than half of what is enough in a range", least/(1<<20), factor, pending)
		return pending
	}
	if p := behind(50<<20, defaultFollow); p[1] > max(p[0]*3/2, 1000) {
		t.Errorf("falls behind: %d MiB", p)
	}
	if p := behind(50<<20, 0); p[1] < p[0]*3/2 {
		t.Errorf("does not fall behind with 50 MiB/s: %d MiB; then the test shows nothing", p)
	}
}
