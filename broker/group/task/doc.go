// Package task computes which member of a streams group gets which tasks. It is pure: members, what their targets were so far, and how
// many tasks each subtopology has go in, everybody's target comes out.
//
// A task is one partition number of a subtopology. It is active at one member; of a subtopology with state, copies that only follow its
// changelog, the standby tasks, are at others. Members of one process share a disk, so a task has at most one place in a process.
//
// Invariants:
//
//  1. Every task is active in exactly one target. Nothing else is in any.
//  2. A process has a task once, be it active or standby. A task with state has as many standby tasks as are asked for, or as there are
//     other processes.
//  3. The numbers of active tasks of two members differ by at most one.
//  4. The same members with the same tasks, and the targets that came out, give the same targets again.
//  5. The result depends on the input alone, not on the order of a map.
//
// The order of preference is Kafka's: an active task stays where it was, else it goes where it was a standby, else to the member with the
// fewest tasks. No member keeps more than its share. A standby task goes where the task was active before, else stays where it was a standby,
// else goes to the member with the fewest tasks whose process does not have it. Kafka looks at the load of whole processes first, so that a process of
// many members may have one that does next to nothing.
package task
