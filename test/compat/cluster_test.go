package compat

import (
	"net/http"
	"path/filepath"
	"strconv"
	"testing"

	"encoding/json"

	"sluice/edge/admin"
	"sluice/test/broker"
)

// Apache Kafka's tools for a cluster: against three brokers, of which one, the one that leads everything, is killed half-way.
func TestClusterTools(t *testing.T) {
	dir := t.TempDir()
	var brokers []*broker.Process
	for i, zone := range []string{"a", "b", "c"} {
		brokers = append(brokers, broker.Start(t, broker.Options{
			Dir: filepath.Join(dir, strconv.Itoa(i)), Bucket: "file://" + filepath.Join(dir, "bucket"), WAL: "file://" + filepath.Join(dir, "wal") + "?shared=true",
			Args: []string{"--zone", zone, "--balance=false"},
		}))
	}
	t.Run("three brokers", func(t *testing.T) { run(t, nil, "java/cluster.sh", brokers[0].Addr) })
	if t.Failed() {
		return
	}
	victim := brokers[2]
	id := nodeOf(t, victim)
	victim.Kill()
	t.Run("one is gone", func(t *testing.T) { run(t, nil, "java/cluster.sh", brokers[0].Addr, "gone", id) })
}

// nodeOf returns the id of a broker.
func nodeOf(t *testing.T, p *broker.Process) string {
	t.Helper()
	res, err := http.Get("http://" + p.Admin + "/v1/cluster")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var v admin.ClusterView
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v.AnsweredBy.String()
}
