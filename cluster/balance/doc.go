// Package balance plans who leads which partition: where the partitions of a dead node go ([Spread]), how a node is emptied ([Drain]),
// and how the load of a cluster is evened ([Balancer]). It reads an image and what the nodes report of themselves, and returns
// assignments; whoever calls it submits them as commands. DESIGN.md says why it is as it is.
//
// A node's load is a point in four dimensions: partitions led, bytes and requests per second, CPU. In each it is measured against the mean
// of the nodes that may lead, so that the dimensions compare. The cost of an assignment is the sum of the squares over all nodes and
// dimensions; it is least when everything is even, and every planner here only ever goes downhill on it.
//
// Invariants:
//
//  1. Nothing is placed on a node that is fenced, draining, or not registered. Without any other node nothing is placed.
//  2. The same image, loads, time and history give the same plan.
//  3. Every planned move lowers the cost, by a margin that grows with the partition's size. With loads that stand still a [Balancer]
//     therefore comes to an end, and never comes back to an assignment that it left.
//  4. Partitions on their way (with a Target, or planned and not yet seen in the image) count where they are going, and there are never
//     more of them than the bound.
//  5. A partition with a coordinator (Options.Coordinators) is moved alone, for a large gap, and never within Rest after its leader has changed.
//  6. Wrong or old loads cost efficiency, never safety: what is planned here is checked again by the commands.
//
// Everything here is pure: time is an argument, and no function starts a goroutine, reads a clock, logs or does I/O. A [Balancer] has state
// and belongs to one goroutine.
package balance
