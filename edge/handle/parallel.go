package handle

import stdsync "sync"

// parallelMax bounds the jobs of one request that run at the same time.
const parallelMax = 16

// parallel runs the jobs of a request and returns when all are done. They may wait for the bucket, so several run at a time.
func parallel(jobs []func()) {
	if len(jobs) == 1 {
		jobs[0]()
		return
	}
	var wg stdsync.WaitGroup
	next := make(chan func())
	for range min(len(jobs), parallelMax) {
		wg.Go(func() {
			for job := range next {
				job()
			}
		})
	}
	for _, job := range jobs {
		next <- job
	}
	close(next)
	wg.Wait()
}
