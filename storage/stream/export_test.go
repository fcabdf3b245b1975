package stream

import "time"

// SetPause shortens the pauses between retries.
func (o *Options) SetPause(d time.Duration)       { o.pauseMin = d }
func (o *RescueOptions) SetPause(d time.Duration) { o.pauseMin = d }
