# The two commands: `make run` starts a broker on 127.0.0.1:9092, `make test` runs everything a reviewer would want run.

GO ?= go
CACHE := .cache
# Rounds of kill -9 for each WAL class; the crash proof proper is `make crash ROUNDS=100`.
ROUNDS ?= 8

.PHONY: help run build release test lint unit race integration parity differential crash chaos model fuzz bench scale cost cluster deps clean trouble tail kafka-tests compat ecosystem sim tla history-kafka

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: build ## build sluice and start one broker on 127.0.0.1:9092
	@exec ./bin/sluice start

cluster: build ## start three brokers in three zones on 127.0.0.1:9092 to 9094, with one bucket and one shared WAL directory
	@exec scripts/cluster

build: ## build bin/sluice and bin/sluice-check
	@test -x bin/sluice || echo "Building sluice; the first time takes a minute or two."
	@$(GO) build -o bin/sluice ./cmd/sluice
	@$(GO) build -o bin/sluice-check ./cmd/sluice-check

release: ## build a static bin/sluice that holds no paths of this machine
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o bin/sluice ./cmd/sluice

test: deps ## everything: lint, unit and property tests, the race detector, real clients, crashes
	@ROUNDS=$(ROUNDS) $(GO) run ./test/runner

lint: ## vet, formatting, layers, sizes, docs
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	@$(GO) vet ./...
	@$(GO) test -count=1 ./test/lint

unit: ## unit and property tests
	@$(GO) test $$($(GO) list ./... | grep -v -e /test/compat -e /test/parity -e /test/differential -e /test/kafkasuite -e /test/crash -e /test/cluster -e /test/hostile -e /test/sim)

race: ## the same under the race detector
	@$(GO) test -race $$($(GO) list ./... | grep -v -e /test/compat -e /test/parity -e /test/differential -e /test/kafkasuite -e /test/crash -e /test/cluster -e /test/hostile -e '/test/sim$$' -e /test/lint)

integration: deps ## real clients against the built binary
	@$(GO) test -count=1 -timeout 30m -v ./test/compat

parity: deps ## the same requests to sluice and to Apache Kafka 4.3, answers compared
	@$(GO) test -count=1 -timeout 10m ./test/parity

differential: deps ## random requests to sluice and to Apache Kafka 4.3, answers compared: SEED=1 REQUESTS=2000 KEYS=Fetch,Produce REPLAY=file; make test runs a few hundred
	@SLUICE_DIFFERENTIAL=1 SLUICE_DIFFERENTIAL_SEED=$(SEED) SLUICE_DIFFERENTIAL_REQUESTS=$(REQUESTS) SLUICE_DIFFERENTIAL_KEYS=$(KEYS) \
	  SLUICE_DIFFERENTIAL_REPLAY=$(abspath $(REPLAY)) $(GO) test -count=1 -timeout 3h -v -run TestDifferential ./test/differential

kafka-tests: deps ## Apache Kafka's own tests: all, or ONLY=Class,Class#method; half an hour, and two more for Kafka Streams
	@SLUICE_KAFKASUITE=$(or $(ONLY),all) $(GO) test -count=1 -timeout 6h -v ./test/kafkasuite

ecosystem: deps ## the programs around Kafka (Streams, Connect, MirrorMaker 2, ...): all, or ONLY=Streams,Connect; BROKERS=3 for a cluster with its WAL in the bucket
	@SLUICE_ECOSYSTEM=$(or $(ONLY),all) SLUICE_ECOSYSTEM_BROKERS=$(BROKERS) $(GO) test -count=1 -timeout 1h -v ./test/ecosystem

compat: deps ## case programs of many clients to sluice and to Apache Kafka 4.3, compared; ONLY=franz-go,kafkajs for some
	@SLUICE_COMPAT=$(or $(ONLY),all) $(GO) test -count=1 -timeout 2h -v -run TestClients ./test/compat/cases
	@SLUICE_COMPAT=$(or $(ONLY),all) $(GO) test -count=1 -timeout 1h -v -run TestSaramaFunctional ./test/compat

crash: deps ## kill -9 under load and what else can break, ROUNDS=8 kills for each WAL class
	@SLUICE_CRASH_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 3h -v ./test/crash

history-kafka: deps ## check a history of Apache Kafka 4.3.0, killed twice under load, that is recorded anew; KEEP=file keeps it
	@SLUICE_HISTORY_KAFKA=$(or $(abspath $(KEEP)),$(abspath $(CACHE))/history-kafka.jsonl.zst) $(GO) test -count=1 -timeout 20m -v ./test/history/recorded

trouble: deps ## the bucket in trouble for as long as it takes, up to an hour of errors: two hours; FOR=60s for each, ONLY=outage for one
	@SLUICE_CRASH_TROUBLE=$(or $(FOR),long) $(GO) test -count=1 -timeout 5h -v -run 'TestTrouble/.*/$(ONLY)' ./test/crash

chaos: $(if $(MINUTES),deps) ## a cluster under faults: ROUNDS=8 for each WAL class, or MINUTES=10 with all clients and a page in OUT=dir; WAL=file or s3 for one; BROKERS=3 to 6
ifdef MINUTES
	@SLUICE_CHAOS_MINUTES=$(MINUTES) SLUICE_CHAOS_OUT=$(abspath $(OUT)) SLUICE_CHAOS_WAL=$(WAL) SLUICE_CHAOS_BROKERS=$(BROKERS) $(GO) test -count=1 -timeout 24h -v -run '^TestTimed$$' ./test/cluster
else
	@SLUICE_CHAOS_ROUNDS=$(ROUNDS) SLUICE_CHAOS_BROKERS=$(BROKERS) $(GO) test -count=1 -timeout 6h -v ./test/cluster
endif

model: ## the explorers with their large bounds: half an hour or more
	@SLUICE_MODEL=deep $(GO) test -count=1 -timeout 2h -v -run 'Cluster|TokenRule|Chain|EveryInterleaving|TheExplorer' \
	  ./test/explore ./storage/wal/file ./cluster/metalog ./storage/slotlog

tla: ## the specifications in TLA+, checked by TLC (from Maven), with their planted mistakes: some minutes
	@$(GO) run ./test/tla

sim: ## whole clusters simulated, SEEDS=500 worlds from FIRST=1 on, on all cores; each replays exactly; KIND=days, REPORT=file, QUIET=10m
	@$(GO) run ./test/sim -first $(or $(FIRST),1) -seeds $(or $(SEEDS),500) -kind '$(KIND)' -quiet $(or $(QUIET),0) -wall $(or $(WALL),$(if $(KIND),20m,5m)) -report '$(REPORT)'

fuzz: ## run every fuzz target, MINUTES=10 shared between all of them; ONLY=wire/batch for some
	@$(GO) run ./test/fuzz -minutes $(or $(MINUTES),10) $(if $(ONLY),-only '$(ONLY)')

.PHONY: hostile
hostile: ## attacks on one broker while honest clients work, 20 s each: the table of docs/reliability.md; ONLY=ApiVersions for some
	@SLUICE_HOSTILE=long SLUICE_HOSTILE_ONLY='$(ONLY)' $(GO) test -count=1 -timeout 1h -v ./test/hostile

bench: build ## sluice and Apache Kafka side by side: the table of docs/performance.md
	@test/kafka/kafka fetch
	@$(GO) run ./test/bench

tail: build ## consumers that keep up beside eight that catch up over COLD=20GB: a table of docs/performance.md
	@$(GO) build -o bin/tail ./test/tail && bin/tail -cold $(or $(COLD),20GB) $(TAIL)

scale: ## what the metadata of 100 brokers and 100,000 partitions cost: a table of docs/performance.md
	@$(GO) run ./test/scale

cost: ## requests and dollars at 50 MB/s: the tables of docs/cost.md; about ten minutes
	@SLUICE_COST=full $(GO) test -count=1 -timeout 1h -v ./test/cost

.PHONY: bugs
bugs: deps ## are seeded bugs found, by which layer: ONLY=lso-plus-one,no-grace LAYER=unit,explore,sim,crash,cluster SEEDS=20; the table of docs/reliability.md
	@$(GO) run ./test/bugs -only '$(ONLY)' -layer '$(LAYER)' -seeds $(or $(SEEDS),20)

deps: ## install what the tests need: kcat, Python and npm packages, Apache Kafka
	@./test/deps

clean: ## remove what was built; data stays
	@rm -rf bin $(CACHE)
