package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"sluice/base"
	"sluice/edge/admin"
)

var httpClient = http.Client{Timeout: 10 * time.Second}

// ask sends a request to the admin API of a broker and decodes the answer into v, unless that is nil.
func (n *node) ask(method, path string, body, v any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, "http://"+n.Admin+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := httpClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s at %s: %s: %s", method, path, n.name, res.Status, answer)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(answer, v)
}

func (n *node) describe() (*admin.ClusterView, error) {
	v := &admin.ClusterView{}
	return v, n.ask(http.MethodGet, "/v1/cluster", nil, v)
}

// ids are the node ids of the brokers that live, by name.
func ids(v *admin.ClusterView) map[string]base.NodeID {
	m := map[string]base.NodeID{}
	for _, n := range v.Nodes {
		if n.State == "live" {
			m[n.Name] = n.ID
		}
	}
	return m
}

// view is the cluster as some broker that runs describes it; nil if none answers.
func (w *world) view() *admin.ClusterView {
	for _, n := range w.in(up) {
		if v, err := n.describe(); err == nil {
			return v
		}
	}
	return nil
}

// controller is the broker that is the controller, nil if there is none or it does not run.
func (w *world) controller() *node {
	v := w.view()
	if v == nil {
		return nil
	}
	for _, o := range v.Nodes {
		if o.ID != v.Controller.Node {
			continue
		}
		for _, n := range w.in(up) {
			if n.name == o.Name {
				return n
			}
		}
	}
	return nil
}

// unhealthy says what the brokers that run find wrong with the cluster; empty if nothing.
func (w *world) unhealthy() string {
	running := w.in(up)
	var first *admin.ClusterView
	for _, n := range running {
		if n.Ended() {
			return n.name + " has ended"
		}
		v, err := n.describe()
		switch {
		case err != nil:
			return err.Error()
		case first == nil:
			first = v
		case v.ID != first.ID || v.Controller != first.Controller:
			return fmt.Sprintf("%s sees cluster %s with controller %v, another %s with %v", n.name, v.ID, v.Controller, first.ID, first.Controller)
		}
		live := ids(v)
		for _, o := range running {
			if _, ok := live[o.name]; !ok {
				return fmt.Sprintf("%s says that %s does not live", n.name, o.name)
			}
		}
		switch {
		case len(live) != len(running):
			return fmt.Sprintf("%s says that %v live, %d brokers run", n.name, live, len(running))
		case len(v.Rescues) > 0:
			return fmt.Sprintf("%s says that there are rescues: %+v", n.name, v.Rescues)
		case v.Unavailable > 0:
			return fmt.Sprintf("%s says that partitions are unavailable: %+v", n.name, v.Waiting)
		case v.Moving > 0:
			return fmt.Sprintf("%s says that partitions move: %+v", n.name, v.Moves)
		}
	}
	return ""
}

// awaitHealthy waits until all brokers that run describe the same healthy cluster. One that has ended by itself fails the test.
func (w *world) awaitHealthy() {
	w.t.Helper()
	w.calm.Lock()
	defer w.calm.Unlock()
	deadline := time.Now().Add(servedWithin)
	for {
		wrong := w.unhealthy()
		if wrong == "" {
			return
		}
		for _, n := range w.in(up) {
			if n.Ended() {
				w.keep()
				w.t.Fatalf("%s has ended by itself: see its log", n.name)
			}
		}
		if time.Now().After(deadline) {
			w.dump()
			w.keep()
			w.t.Fatalf("not healthy within %v: %s", servedWithin, wrong)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
