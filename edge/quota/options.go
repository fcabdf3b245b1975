package quota

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are what a Manager works with. A zero value takes its default.
type Options struct {
	Windows           int           // quota.window.num; 11
	Window            time.Duration // quota.window.size.seconds; 1 s
	ControllerWindows int           // controller.quota.window.num; 11
	ControllerWindow  time.Duration // controller.quota.window.size.seconds; 1 s
	Now               func() time.Time
	Registerer        prometheus.Registerer // nil: no metrics
}

func (o Options) withDefaults() Options {
	if o.Windows <= 0 {
		o.Windows = 11
	}
	if o.Window <= 0 {
		o.Window = time.Second
	}
	if o.ControllerWindows <= 0 {
		o.ControllerWindows = 11
	}
	if o.ControllerWindow <= 0 {
		o.ControllerWindow = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}
