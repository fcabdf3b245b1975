package history

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"
)

// Generate writes the history of a correct log: n sends of eight processes to sixteen partitions, a twentieth of them unclear and half of those not there, two
// readers that keep up, commits and fetches of a group, and a final read. Memory is for the values that are in the log.
func Generate(w io.Writer, n int, seed uint64) error {
	g := &generator{w: bufio.NewWriterSize(w, 1<<20), rnd: rand.New(rand.NewPCG(seed, 0)), logs: make([][]int32, 16)}
	g.put(appendHeader(nil, epoch))
	for k := range g.logs {
		g.put(append(line(g.line[:0]), `{"f":"partition"`...).num("k", int64(k)).text("topic", "made").num("index", int64(k)).close())
	}
	read := [2][]int{make([]int, len(g.logs)), make([]int, len(g.logs))}
	for v := range n {
		g.send(v)
		if v%generateEvery == generateEvery-1 {
			for p := range read {
				g.poll("poll", int64(20+p), read[p])
			}
			g.commit(int64(v))
		}
		if g.err != nil {
			return g.err
		}
	}
	last := make([]int, len(g.logs))
	for behind := true; behind; {
		behind = g.poll("final", 30, last)
	}
	if err := g.w.Flush(); err != nil && g.err == nil {
		g.err = err
	}
	if g.err != nil {
		return fmt.Errorf("write history: %w", g.err)
	}
	return nil
}

// epoch is when what is generated begins.
var epoch = time.Unix(1_700_000_000, 0)

// generateEvery is how many sends there are between two polls.
const generateEvery = 1000

type generator struct {
	w    *bufio.Writer
	rnd  *rand.Rand
	now  int64
	logs [][]int32
	line line
	op   int64
	err  error
}

func (l line) close() line { return append(l, '}', '\n') }

func (g *generator) put(l line) {
	if _, err := g.w.Write(l); err != nil && g.err == nil {
		g.err = err
	}
	g.line = l[:0]
}

func (g *generator) event() line {
	g.now += 1 + g.rnd.Int64N(2000)
	return g.line[:0].begin(g.now)
}

func (g *generator) send(v int) {
	k := g.rnd.IntN(len(g.logs))
	g.put(g.event().num("p", int64(1+v%8)).what("send").num("k", int64(k)).num("v", int64(v)).close())
	unclear := g.rnd.IntN(20) == 0
	if !unclear || g.rnd.IntN(2) == 0 {
		g.logs[k] = append(g.logs[k], int32(v))
	}
	if unclear {
		g.put(g.event().what("info").num("v", int64(v)).close())
	} else {
		g.put(g.event().what("ok").num("v", int64(v)).num("o", int64(len(g.logs[k])-1)).close())
	}
}

// poll reads from where a process is, at most 500 of each partition. It reports whether there was anything.
func (g *generator) poll(what string, process int64, at []int) bool {
	l, some := g.event().num("p", process).what(what).key("r"), false
	l = append(l, '[')
	for k, log := range g.logs {
		if at[k] == len(log) {
			continue
		}
		if some {
			l = append(l, ',')
		}
		some = true
		l = append(l, fmt.Sprintf("[%d,%d", k, at[k])...)
		for n := 0; n < 500 && at[k] < len(log); n++ {
			l = append(l, ',')
			l = strconv.AppendInt(l, int64(log[at[k]]), 10)
			at[k]++
		}
		l = append(l, ']')
	}
	g.put(append(l, ']').close())
	return some
}

func (g *generator) commit(offset int64) {
	g.op += 2
	g.put(g.event().num("p", 40).what("commit").num("op", g.op).text("g", "made").num("k", 0).num("o", offset).close())
	g.put(g.event().what("committed").num("op", g.op).text("is", "ok").close())
	g.put(g.event().num("p", 40).what("fetch").num("op", g.op+1).text("g", "made").num("k", 0).close())
	g.put(g.event().what("fetched").num("op", g.op+1).num("o", offset).close())
}
