// Package config declares every setting of the broker once, as data: name, kind, default, unit and documentation. From that one
// table come the flags of "sluice start", the environment variables, the keys of a configuration file, and what "sluice config"
// prints.
//
// Names. Sluice's own settings have dashes (upload-interval), those that Kafka has too keep Kafka's name with dots
// (num.partitions). Wherever a name is given, dashes, dots and underscores are the same: the flag --num-partitions, the variable
// SLUICE_NUM_PARTITIONS and the file key num.partitions are one setting.
//
// Invariants:
//
//  1. A setting is declared in one place, [Settings]; nothing else in the project knows its default.
//  2. Flag beats environment beats file beats default; within a source the later one wins.
//  3. A [Config] that [Resolve] returned has passed every check; an error names the setting, where it was given, what is wrong
//     and what would be right. All errors have kind base.Invalid.
//  4. The package reads neither the environment nor files: callers hand their content in.
//
// The package starts no goroutine.
package config
