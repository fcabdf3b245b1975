package compact

import (
	"context"

	"golang.org/x/sync/errgroup"

	"sluice/base"
	"sluice/storage/object"
	"sluice/storage/stream"
)

// commitObjects is how many objects' worth of bytes are put until a job commits and goes on. What is put and not committed is lost when a job is given
// up, and expires when it waits for an hour.
const commitObjects = 16

// commitItems bounds the ranges that one command replaces and makes, together; the metadata takes 400,000.
const commitItems = 300_000

// sourceError says which object could not be read.
type sourceError struct {
	id  base.ObjectID
	err error
}

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// execution is the state of one job that is carried out. Run after run is read, piece by piece, and written; whenever enough has been put, the runs that are
// complete are committed. An error ends it at once: what was committed stays, everything else is as if it had never been.
type execution struct {
	env    *Env
	job    *Job
	out    *Output
	window int64
	long   int64
	open   int // sources that have a window at a time at most

	wanted  map[base.ObjectID][]Piece
	left    map[base.ObjectID]int // pieces that are still to be read
	sources []*Source             // those with a window, the one used last at the end
	resting []*Source             // others of which the index is kept: each has to be read again otherwise
	indexes int64                 // memory of the indexes of all of these

	next     int // the first of the job's runs that is not handed to commit yet
	items    int // ranges that the runs from there on replace and make
	settled  func(r *JobRun, v Verdict, made []NewRange)
	produced func([]NewObject)
}

func newExecution(env *Env, job *Job, lim Limits, cursorBytes int64) *execution {
	x := &execution{env: env, job: job, out: env.NewOutput(lim.MaxObject), wanted: map[base.ObjectID][]Piece{}, left: map[base.ObjectID]int{},
		settled: func(*JobRun, Verdict, []NewRange) {}, produced: func([]NewObject) {}}
	outputs, sets, shared, largest := 0, 0, int64(0), int64(0)
	for _, r := range job.Runs {
		for _, p := range r.Pieces {
			x.wanted[p.Object.ID] = append(x.wanted[p.Object.ID], Piece{r.Stream, p.Range})
			x.left[p.Object.ID]++
			largest = max(largest, p.Bytes)
		}
		if r.Kind == stream.SO {
			outputs += 1 + int(r.Bytes/lim.MaxObject)
		} else {
			shared += r.Bytes
		}
	}
	for _, o := range job.Sources {
		if o.Kind == stream.SSO {
			sets++
		}
	}
	if shared > 0 {
		outputs += 1 + int(shared/lim.MaxObject)
	}
	x.out.Expect(outputs)
	x.open = min(max(sets, 1), lim.Sources)
	// One source is read at a time, so there is one long stretch of a stream at a time; or none.
	if largest > cursorBytes/int64(x.open) {
		x.long = min(cursorBytes/3, windowMax)
	}
	x.window = min(max((cursorBytes-x.long)/int64(x.open), windowMin), windowMax)
	return x
}

func (x *execution) close() {
	for _, s := range x.sources {
		s.Close()
	}
	for _, s := range x.resting {
		s.Close()
	}
	x.sources, x.resting = nil, nil
	x.out.Close()
}

// run carries out the job.
func (x *execution) run(ctx context.Context) error {
	defer x.close()
	for i := range x.job.Runs {
		r := &x.job.Runs[i]
		items := len(r.Pieces) + 2 + int(r.Bytes/x.out.max)
		if full := x.items+items > commitItems; full || !x.out.Fits(r.Kind, r.Bytes) {
			atLeast := commitObjects * x.out.max
			if full {
				atLeast = 0
			}
			if err := x.flush(ctx, atLeast); err != nil {
				return err
			}
		}
		x.items += items
		if err := x.copy(ctx, r); err != nil {
			return err
		}
	}
	return x.flush(ctx, 0)
}

// copy copies a run into the output. A piece without a record is not what the metadata says it is.
func (x *execution) copy(ctx context.Context, r *JobRun) error {
	if err := x.out.Begin(ctx, r.Kind, r.Stream, r.Range, r.Bytes); err != nil {
		return err
	}
	if err := x.prime(ctx, r); err != nil {
		return err
	}
	for _, p := range r.Pieces {
		s, err := x.source(ctx, p.Object)
		if err != nil {
			return &sourceError{p.Object.ID, err}
		}
		records := 0
		for rec, err := range s.Records(ctx, r.Stream, p.Range) {
			if err != nil {
				return &sourceError{p.Object.ID, err}
			}
			if err := x.add(ctx, p.Object.ID, &rec); err != nil {
				return err
			}
			records++
		}
		if records == 0 {
			return &sourceError{p.Object.ID, base.Errorf(base.Corrupt, "object %s: stream %d has no record in %v", s.key, r.Stream, p.Range)}
		}
		if x.left[p.Object.ID]--; x.left[p.Object.ID] == 0 {
			x.closeSource(p.Object.ID)
		}
	}
	return x.out.End()
}

// primeGets is how many windows are filled at a time.
const primeGets = 4

// prime fills the windows that a run needs anew, side by side: those of streams that are merged come to their ends at about the same time, and one after the other they would take
// longer than the bytes come in. A GET that fails is made again, by the read that needs it.
func (x *execution) prime(ctx context.Context, r *JobRun) error {
	if len(r.Pieces) < 2 || len(r.Pieces) > x.open {
		return nil
	}
	var g errgroup.Group
	g.SetLimit(primeGets)
	defer func() { _ = g.Wait() }()
	seen := map[*Source]bool{}
	for _, p := range r.Pieces {
		s, err := x.source(ctx, p.Object)
		if err != nil {
			return &sourceError{p.Object.ID, err}
		}
		if seen[s] { // it has more than one piece of the run, and its window may just be being filled
			continue
		}
		seen[s] = true
		if i := s.missing(r.Stream, p.Range); i >= 0 && p.Bytes <= x.window {
			g.Go(func() error { _ = s.fetch(ctx, i, 0); return nil })
		}
	}
	return nil
}

// add adds a record; one that is refused is the fault of the object it comes from.
func (x *execution) add(ctx context.Context, from base.ObjectID, rec *object.Record) error {
	err := x.out.Add(ctx, rec)
	if base.IsKind(err, base.Corrupt) {
		return &sourceError{from, err}
	}
	return err
}

// restingBytes bounds the memory of the indexes of sources that a job will come back to.
const restingBytes = 4 << 20

// source returns an open source. When there are too many, the one that was not used for longest gives up its window, and its index if those take too much.
func (x *execution) source(ctx context.Context, o *Object) (*Source, error) {
	if i := at(x.sources, o.ID); i >= 0 {
		s := x.sources[i]
		x.sources = append(append(x.sources[:i], x.sources[i+1:]...), s)
		return s, nil
	}
	if len(x.sources) >= x.open {
		s := x.sources[0]
		x.sources = x.sources[1:]
		if s.drop(); x.indexes <= restingBytes {
			x.resting = append(x.resting, s)
		} else {
			x.indexes -= s.index.MemoryBytes()
		}
	}
	var s *Source
	if i := at(x.resting, o.ID); i >= 0 {
		s = x.resting[i]
		x.resting = append(x.resting[:i], x.resting[i+1:]...)
	} else {
		var err error
		if s, err = x.env.Open(ctx, o.ID, o.Size, x.window, x.wanted[o.ID]...); err != nil {
			return nil, err
		}
		x.indexes += s.index.MemoryBytes()
	}
	s.long = x.long
	x.sources = append(x.sources, s)
	return s, nil
}

// at returns where the source of an object is, -1 if it is not there.
func at(sources []*Source, id base.ObjectID) int {
	for i, s := range sources {
		if s.id == id {
			return i
		}
	}
	return -1
}

func (x *execution) closeSource(id base.ObjectID) {
	if i := at(x.sources, id); i >= 0 {
		x.indexes -= x.sources[i].index.MemoryBytes()
		x.sources[i].Close()
		x.sources = append(x.sources[:i], x.sources[i+1:]...)
	}
}

// flush puts the open object, and commits what was put since the last commit if it is at least so many bytes.
func (x *execution) flush(ctx context.Context, atLeast int64) error {
	if err := x.out.Flush(ctx); err != nil {
		return err
	}
	if w := x.out.Waiting(); w == 0 || w < atLeast {
		return nil
	}
	objects, runs := x.out.Take()
	done := x.job.Runs[x.next : x.next+len(runs)]
	x.next += len(runs)
	x.items = 0
	replacements := make([]Replacement, len(runs))
	for i, r := range runs {
		replacements[i] = Replacement{Stream: r.Stream, Range: r.Range, New: r.New}
		for _, p := range done[i].Pieces {
			replacements[i].Sources = append(replacements[i].Sources, p.Object.ID)
		}
	}
	verdicts, err := x.env.Commit(ctx, objects, replacements)
	if err != nil {
		return err
	}
	x.produced(objects)
	for i := range verdicts {
		x.settled(&done[i], verdicts[i], runs[i].New)
	}
	return nil
}
