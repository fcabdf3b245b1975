package history

// components returns the strongly connected parts of the graph that have more than one node, by Tarjan's algorithm, without recursion.
func (g *graph) components() (parts [][]int32) {
	n := len(g.out)
	index := make([]int32, n) // 1 is the first that was visited; 0: not yet
	low := make([]int32, n)   // the earliest that can be reached among those on the stack
	on := make([]bool, n)
	var stack []int32
	type frame struct {
		node int32
		next int // of its edges
	}
	var frames []frame
	count := int32(0)
	visit := func(v int32) {
		count++
		index[v], low[v], on[v] = count, count, true
		stack = append(stack, v)
		frames = append(frames, frame{v, 0})
	}
	for root := range n {
		if index[root] != 0 {
			continue
		}
		visit(int32(root))
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			v := f.node
			if f.next < len(g.out[v]) {
				to := g.out[v][f.next].to
				f.next++
				if index[to] == 0 {
					visit(to)
				} else if on[to] {
					low[v] = min(low[v], index[to])
				}
				continue
			}
			frames = frames[:len(frames)-1]
			if len(frames) > 0 {
				up := frames[len(frames)-1].node
				low[up] = min(low[up], low[v])
			}
			if low[v] != index[v] {
				continue
			}
			var part []int32
			for {
				w := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				on[w] = false
				part = append(part, w)
				if w == v {
					break
				}
			}
			if len(part) > 1 {
				parts = append(parts, part)
			}
		}
	}
	return parts
}
