package audit

import (
	"context"
	"log/slog"
	"time"

	"sluice/storage/objstore/driver"
	"sluice/storage/wal/disk"
)

// Options say what is verified, and how. Bucket is required.
type Options struct {
	Bucket driver.Store // only read; the caller bounds how long it repeats requests
	Meta   driver.Store // of the metadata log; nil: Bucket
	Name   string       // key prefix of the metadata log; "meta"
	// OpenStore opens the store at the URL of write-ahead logs that have one to themselves, for reading; nil: they are not looked at.
	OpenStore func(ctx context.Context, url string) (driver.Store, error)
	Files     disk.FS // of write-ahead logs in files; nil: the operating system's

	Deep     bool // read every block, check every CRC, decode every record batch
	Parallel int  // objects looked at at the same time; 8
	// BytesPerSecond bounds what is read of objects, footers and indexes included; 0: no bound.
	BytesPerSecond int64
	// Grace is the age below which an orphan is a note and not a warning: whoever has to remove it may not have got to it. 1 h.
	Grace time.Duration
	// CheckMeta verifies one record of a meta stream; nil: only its CRC is checked.
	CheckMeta func(data []byte) error

	// State is what an earlier verification of the same cluster got through; nil: nothing. It is brought up to date.
	State *State
	// Progress is called now and then, on one goroutine at a time; nil: never.
	Progress func(Progress)
	// Found is called with every finding once it is confirmed, on one goroutine at a time; nil: never.
	Found func(Finding)

	Now    func() time.Time // time.Now
	Logger *slog.Logger     // nil: none
}

// Progress is how far a verification has come.
type Progress struct {
	Phase        string // what is being done: "metadata", "listing", "objects", "logs", "second look"
	Objects      int    // looked at
	ObjectsTotal int    // to be looked at; 0 before that is known
	Bytes        int64  // of objects that were looked at; with Deep, read
	BytesTotal   int64
	Candidates   int // looked wrong at first sight
}

// Report is the outcome of a verification.
type Report struct {
	Cluster    string    `json:"cluster"`
	Position   uint64    `json:"position"` // of the metadata, in records
	Deep       bool      `json:"deep"`
	Objects    int       `json:"objects"`       // committed
	Bytes      int64     `json:"object_bytes"`  // in them
	Skipped    int       `json:"objects_known"` // found in order by the run that this one resumes
	Streams    int       `json:"streams"`
	Ranges     int       `json:"ranges"`
	Blocks     int64     `json:"blocks"`  // read; 0 unless deep
	Batches    int64     `json:"batches"` // decoded; 0 unless deep
	Records    int64     `json:"records"` // in them
	Slots      int64     `json:"slots"`   // of logs, read
	Snapshots  int       `json:"snapshots"`
	Keys       int64     `json:"keys"` // listed
	Other      int       `json:"objects_not_committed"`
	Findings   []Finding `json:"findings"`
	Errors     int       `json:"errors"`
	Warnings   int       `json:"warnings"`
	Notes      int       `json:"notes"`
	TookMillis int64     `json:"took_ms"`
}

// Well reports whether all is well: neither errors nor warnings.
func (r *Report) Well() bool { return r.Errors == 0 && r.Warnings == 0 }

func (o Options) withDefaults() Options {
	if o.Meta == nil {
		o.Meta = o.Bucket
	}
	if o.Name == "" {
		o.Name = "meta"
	}
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	if o.Grace <= 0 {
		o.Grace = time.Hour
	}
	if o.State == nil {
		o.State = new(State)
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Found == nil {
		o.Found = func(Finding) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
