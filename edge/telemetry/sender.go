package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	// queueMax bounds the pushes that wait to be sent on.
	queueMax = 64
	// sendMax is how long a collector may take for one.
	sendMax = 10 * time.Second
	// complainEvery bounds how often a collector that does not answer is logged.
	complainEvery = time.Minute
)

// sender posts pushes to a collector, one after the other.
type sender struct {
	url     string
	metrics *metrics
	log     *slog.Logger
	queue   chan []byte
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

func startSender(url string, m *metrics, log *slog.Logger) *sender {
	ctx, cancel := context.WithCancel(context.Background())
	s := &sender{url: url, metrics: m, log: log, queue: make(chan []byte, queueMax), cancel: cancel}
	s.done.Go(func() { s.loop(ctx) })
	return s
}

func (s *sender) close() {
	s.cancel()
	s.done.Wait()
}

// send puts a push into the queue, unless it is full.
func (s *sender) send(body []byte) {
	select {
	case s.queue <- body:
	default:
		s.metrics.dropped.WithLabelValues("queue full").Inc()
	}
}

func (s *sender) loop(ctx context.Context) {
	client := &http.Client{Timeout: sendMax}
	defer client.CloseIdleConnections()
	var complained time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case body := <-s.queue:
			err := s.post(ctx, client, body)
			if err == nil {
				s.metrics.sent.Inc()
				continue
			}
			s.metrics.dropped.WithLabelValues("collector").Inc()
			if time.Since(complained) > complainEvery && ctx.Err() == nil {
				complained = time.Now()
				s.log.Warn("the collector does not take clients' metrics; they are dropped", "collector", s.url, "error", err)
			}
		}
	}
}

func (s *sender) post(ctx context.Context, client *http.Client, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("answer %s", resp.Status)
	}
	return nil
}
