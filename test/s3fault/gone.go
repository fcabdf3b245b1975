package s3fault

import (
	"net/http"
	"regexp"
	"sync"
)

// dataObject is the form of the keys of data objects, see docs/formats.md.
var dataObject = regexp.MustCompile(`/[0-9a-f]{2}/[0-9a-f]{32}/[0-9a-f]{16}$`)

// gone follows the keys that were deleted.
type gone struct {
	mu      sync.Mutex
	deleted map[string]bool
	reads   []string
	objects int
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
	switch ok := res.StatusCode/100 == 2; {
	case res.Request.Method == http.MethodDelete && ok:
		if g.deleted == nil {
			g.deleted = map[string]bool{}
		}
		if !g.deleted[key] {
			g.deleted[key] = true
			g.objects++
		}
	case res.Request.Method == http.MethodPut && ok:
		delete(g.deleted, key)
	case res.Request.Method == http.MethodGet && res.StatusCode == http.StatusNotFound && g.deleted[key] && len(g.reads) < goneReadsMax:
		g.reads = append(g.reads, key)
	}
	return nil
}

// Deleted is how many data objects were deleted.
func (p *Proxy) Deleted() int {
	p.gone.mu.Lock()
	defer p.gone.mu.Unlock()
	return p.gone.objects
}

// GoneReads are the keys of data objects that somebody tried to read after they had been deleted.
func (p *Proxy) GoneReads() []string {
	p.gone.mu.Lock()
	defer p.gone.mu.Unlock()
	return append([]string(nil), p.gone.reads...)
}
