package s3fault

import (
	"net/http"
	"regexp"
	"sync"
	"time"
)

// dataObject is the form of the keys of data objects, see docs/formats.md.
var dataObject = regexp.MustCompile(`/[0-9a-f]{2}/[0-9a-f]{32}/[0-9a-f]{16}$`)

// gone follows the keys that were deleted.
type gone struct {
	mu      sync.Mutex
	deleted map[string]time.Time
	reads   []GoneRead
	objects int
}

// GoneRead is a read of a data object that had been deleted.
type GoneRead struct {
	Key   string
	After time.Duration // the deletion
}

// goneReadsMax bounds the reads of deleted keys that are told.
const goneReadsMax = 50

// answered looks at an answer of the server. Only keys of data objects are followed: logs are probed where nothing is, or nothing is any more.
func (g *gone) answered(res *http.Response) error {
	key := res.Request.URL.Path
	if !dataObject.MatchString(key) {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	at, deleted := g.deleted[key]
	switch ok := res.StatusCode/100 == 2; {
	case res.Request.Method == http.MethodDelete && ok:
		if g.deleted == nil {
			g.deleted = map[string]time.Time{}
		}
		if !deleted {
			g.deleted[key] = time.Now()
			g.objects++
		}
	case res.Request.Method == http.MethodPut && ok:
		delete(g.deleted, key)
	case res.Request.Method == http.MethodGet && res.StatusCode == http.StatusNotFound && deleted && len(g.reads) < goneReadsMax:
		g.reads = append(g.reads, GoneRead{key, time.Since(at)})
	}
	return nil
}

// Deleted is how many data objects were deleted.
func (p *Proxy) Deleted() int {
	p.gone.mu.Lock()
	defer p.gone.mu.Unlock()
	return p.gone.objects
}

// GoneReads are the reads of data objects that came after they had been deleted, the first ones.
func (p *Proxy) GoneReads() []GoneRead {
	p.gone.mu.Lock()
	defer p.gone.mu.Unlock()
	return append([]GoneRead(nil), p.gone.reads...)
}
