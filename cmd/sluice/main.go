// Command sluice is a Kafka broker whose disk is a bucket, and a client for any Kafka broker.
package main

import (
	"os"

	"sluice/app/cli"
)

func main() {
	os.Exit(cli.Main(cli.Process{Name: os.Args[0], Args: os.Args[1:], Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}))
}
