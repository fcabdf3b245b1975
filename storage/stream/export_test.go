package stream

import "time"

// SetPause shortens the pauses between retries.
func (o *Options) SetPause(d time.Duration)       { o.pauseMin = d }
func (o *RescueOptions) SetPause(d time.Duration) { o.pauseMin = d }

// Cached returns what the WAL caches and the block cache are charged with, in bytes.
func (e *Engine) Cached() (wal, blocks int64) {
	return e.share.sum((*Engine).held), e.share.blocks.Bytes()
}
