// Package cli is the command "sluice": it turns arguments, the environment and a configuration file into a running broker or a
// request to any Kafka broker. It is the only package that reads the environment.
//
// Exit codes:
//
//	0  done; for start: shut down in order
//	1  it failed: no broker, a topic that exists, a broken connection, a disk that is full
//	2  wrong input: an unknown flag, a setting that makes no sense; the message says what would be right
//	3  the broker was fenced: another one has taken its place
//	130  interrupted during the start, or a second time during the shutdown
//
// Files: cli.go (entry, errors and exit codes), client.go, security.go (TLS and login) and admin.go (connections to a broker), start.go, config.go, topic.go, produce.go,
// consume.go, group.go, cluster.go, partition.go, controller.go, bench.go, version.go: one
// command each. A new command is a struct with a Run method and a line in [commands].
//
// Goroutines: a client command starts none that outlives it (the Kafka client's own end when it is closed). Start owns the
// goroutine that waits for signals.
package cli
