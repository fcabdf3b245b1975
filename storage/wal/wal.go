package wal

import (
	"context"
	"iter"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/wal/block"
)

// The types of the classes, see package block.
type (
	Record   = block.Record
	Block    = block.Block
	Victim   = block.Victim
	Identity = block.Identity
	Options  = block.Options
	Log      = block.Log
)

// Create starts the WAL of the node epoch opt.Node, opt.Epoch at url:
//
//	file://DIR[?shared=true][&capacity=10GiB][&segment=64MiB]   a directory that was formatted, see Format
//	s3                                                          the slot log wal/<node> in opt.Store
//	s3://BUCKET[/PREFIX][?…], or gs, az                         the same in the store that opt.OpenStore gives for the URL
//	mem://NAME                                                  memory of this process, for tests; to be formatted like a directory
//
// Exists: that node epoch has a WAL there already; epochs are never reused.
func Create(ctx context.Context, url string, opt Options) (Log, error) {
	c, err := open(url, opt.FS)
	if err != nil {
		return nil, err
	}
	return c.Create(ctx, opt)
}

// Seal ends the WAL of victim: when it returns, no append that was not acknowledged before will ever be. It returns the end of
// the log. from is the trim position of the WAL in the metadata, read at or after the record that fences the victim; what
// lies between there and the end is checked for gaps. Sealing again gives the same end. who is for people.
//
// A WAL that was never made is made now, sealed and empty, if from is 0: its writer cannot make it any more.
//
// Errors: Corrupt, with file and offset, when a block that was durable is unreadable, or a trimmed WAL is gone; NotFound when the
// directory is not formatted; Invalid when it is another node's or cluster's;
// Unavailable when (file class, not shared) the victim's process still lives, or the place cannot be reached.
func Seal(ctx context.Context, url string, opt Options, victim Victim, from base.WALPos, who string) (end base.WALPos, err error) {
	c, err := open(url, opt.FS)
	if err != nil {
		return 0, err
	}
	return c.Seal(ctx, pooled(opt), victim, from, who)
}

// Read returns the blocks [from, end) of a sealed WAL, verified, in order. The receiver owns each block it gets. After an error
// nothing more comes. Corrupt, with file and offset: a block in that range is unreadable.
func Read(ctx context.Context, url string, opt Options, victim Victim, from, end base.WALPos) iter.Seq2[*Block, error] {
	c, err := open(url, opt.FS)
	if err != nil {
		return func(yield func(*Block, error) bool) { yield(nil, err) }
	}
	return c.Read(ctx, pooled(opt), victim, from, end)
}

// pooled makes sure that there is a pool.
func pooled(opt Options) Options {
	if opt.Pool == nil {
		opt.Pool = new(slab.Pool)
	}
	return opt
}

// Probe checks what a WAL relies on at url: that it can be written and synced there, and that a token written by one file handle
// is seen by a fresh one. Class s3: nothing; who gives the store has probed it. It leaves nothing behind.
func Probe(ctx context.Context, url string, opt Options) error {
	c, err := open(url, opt.FS)
	if err != nil {
		return err
	}
	return c.Probe(ctx)
}

// Remove deletes a WAL after its rescue was recorded as done, sealed or not: where nothing was open on it that could fail. A writer that still lives finds itself fenced. Removing
// what does not exist is fine.
func Remove(ctx context.Context, url string, opt Options, victim Victim) error {
	c, err := open(url, opt.FS)
	if err != nil {
		return err
	}
	return c.Remove(ctx, opt, victim)
}

// Epochs lists the node epochs that have a WAL in the directory at url, ascending. Other classes cannot tell and give none.
func Epochs(ctx context.Context, url string, opt Options) ([]Victim, error) {
	c, err := open(url, opt.FS)
	if err != nil {
		return nil, err
	}
	return c.Epochs(ctx)
}

// Identify reads the header of the directory at url. NotFound: it is not formatted, and empty or missing. Corrupt: its header
// cannot be read, or is missing although there are WALs. The other classes have no header and always give NotFound.
func Identify(ctx context.Context, url string, opt Options) (Identity, error) {
	c, err := open(url, opt.FS)
	if err != nil {
		return Identity{}, err
	}
	return c.Identify(ctx)
}

// Format creates the directory and its header. It is the only way to begin to use a directory, and never touches one with
// content: Exists when it has a header already, Invalid when it holds something else. Other classes: nothing to do.
func Format(ctx context.Context, url string, opt Options, id Identity) error {
	c, err := open(url, opt.FS)
	if err != nil {
		return err
	}
	return c.Format(ctx, id)
}

// SetIdentity replaces the identity in the header of a formatted directory, atomically. Other classes: nothing to do.
func SetIdentity(ctx context.Context, url string, opt Options, id Identity) error {
	c, err := open(url, opt.FS)
	if err != nil {
		return err
	}
	return c.SetIdentity(ctx, id)
}
