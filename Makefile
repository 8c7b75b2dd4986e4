# make without a target says what there is.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

# golangci-lint, govulncheck and deadcode are pinned in tools/go.mod; nfpm and cyclonedx-gomod in tools/release/go.mod.
LINT := go tool -modfile=tools/go.mod golangci-lint
VULN := go tool -modfile=tools/go.mod govulncheck
DEADCODE := go tool -modfile=tools/go.mod deadcode

# No program of ours calls transfer.Copy: it is for users of the library, and its example shows how.
LIBRARY := ^pkg/transfer/copy[.]go:

.PHONY: help quickstart build test lint lines shape race fuzz vuln e2e figures bench bench-quick microbench dist dist-check fmt clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: ## see it work: two registries, a real image, a mirror; about a minute, leaves nothing behind
	@scripts/quickstart.sh

build: ## one static binary: bin/regsync
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/ ./cmd/regsync

test: ## all tests that need no Docker, no root and no network: about a minute
	go test ./...

race: ## the same under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -timeout 20m ./...

fuzz: ## every fuzz target for FUZZTIME, half a minute if it is not set; FUZZTOTAL=240 divides that many seconds among them
	@scripts/fuzz.sh

lint: ## gofmt, go vet and golangci-lint over all modules; no dead function; a type's methods in two files at most
	@unformatted="$$(gofmt -l $$(git ls-files '*.go'))"; \
	  if [ -n "$$unformatted" ]; then echo "run make fmt: $$unformatted" >&2; exit 1; fi
	$(LINT) run ./...
	cd e2e && go tool -modfile=../tools/go.mod golangci-lint run --config ../.golangci.yml ./...
	cd e2e/kubernetes && go tool -modfile=../../tools/go.mod golangci-lint run --config ../../.golangci.yml ./...
	cd bench && go tool -modfile=../tools/go.mod golangci-lint run --config ../.golangci.yml ./...
	cd tools && go tool golangci-lint run --config ../.golangci.yml ./...
	cd tools/release && go tool -modfile=../go.mod golangci-lint run --config ../../.golangci.yml ./...
	@dead="$$($(DEADCODE) ./cmd/... ./scripts/... | sed -E '\|$(LIBRARY)|d')"; \
	  if [ -n "$$dead" ]; then echo "$$dead" >&2; exit 1; fi
	@cd tools && go run ./shape -lint

lines: ## how many lines of product code there are, by folder
	@cd tools && go run ./shape -lines

shape: ## how the code is cut: lines, types over many files, functions called once, equal lines, tests that compare prose
	@cd tools && go run ./shape

fmt: ## gofmt over all files
	gofmt -w $$(git ls-files '*.go')

vuln: ## known vulnerabilities in what we call; exit 3: found some; 75: the database cannot be reached
	@scripts/vuln.sh $(VULN)

e2e: ## the real binary, real registries, a real Docker Engine (needs docker, compose, skopeo, debootstrap, cron, systemd, docker-registry, rpm)
	cd e2e/kubernetes && go test -count=1 ./...
	cd e2e && go test -count=1 -p 2 -timeout 20m -v ./...

figures: ## what a copy costs, measured on real registries as plain processes (needs no Docker, but Debian's docker-registry)
	cd e2e && go test -count=1 -timeout 15m -v ./figures

bench: ## compare regsync with other tools over simulated lines: about two hours; BENCH='-list' lists rows and tools
	@mkdir -p bin
	cd bench && go run . -o ../bin/bench.json $(BENCH)

bench-quick: ## run regsync on some rows: fails if content is missing or requests or bytes exceed their limits; about a minute
	cd bench && go test -count=1 ./...
	cd bench && go run . -strict -pairs 1 -tools regsync -rows team-loopback,team-line,team-again-line,corpus-loopback,wide-200-again

microbench: ## the benchmarks of the packages
	go test -run '^$$' -bench . -benchmem ./...

dist: ## the files of a release in dist/: archives, deb, rpm, container image, SBOMs, checksums; PLATFORMS=linux/amd64 builds only that
	rm -rf dist
	@scripts/dist.sh dist

dist-check: ## build a release twice, in different folders, and compare the checksums
	@scripts/dist-check.sh

clean: ## what make build and make dist made
	rm -rf bin dist
