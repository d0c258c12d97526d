# make help lists the targets.

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMANDS := $(patsubst cmd/%/main.go,%,$(wildcard cmd/*/main.go))
ROOMS    := $(wildcard cmd probe mesh api test tools)
TOOL     := go tool -modfile=tools/go.mod

# Packages that build networks or load the machine: they run after the others and one at a time.
HEAVY        ?= test/lab test/e2e test/load test/sim
# Packages that run without the race detector: with it, timers in the bubbles of testing/synctest now
# and then crash the runtime (seen in mesh/gossip), and readings miss their time limits.
# mesh/diagnose starts no goroutine: there is nothing to detect, and it takes minutes longer.
PLAIN        ?= mesh/gossip mesh/diagnose probe/evidence
# Modules beside the product's, so that their requirements do not become its own.
MODULES      ?= tools test/deploy test/web
# The one whose tests make test-cluster runs: they want Kubernetes built and the machine for themselves.
CLUSTER         ?= test/kube
TEST_TIMEOUT    ?= 20m
CLUSTER_TIMEOUT ?= 40m
TEST_SUMMARY ?=
PKG          ?= ./...
BENCH        ?= .
FUZZTIME     ?= 10s
DEMO_SECONDS ?= 0
SOAK_MINUTES ?= 30
FAULTS       ?= all
PAIRS        ?= 0
LAB_NODES    ?= 5

# The images, by the same names and tags as deploy/deploy.sh takes.
IMAGE_TAG         ?= $(shell sed -n 's/^IMAGE_TAG=.*:-\(.*\)}/\1/p' deploy/deploy.sh)
SERVER_IMAGE_NAME ?= $(shell sed -n 's/^SERVER_IMAGE_NAME=.*:-\(.*\)}/\1/p' deploy/deploy.sh)
AGENT_IMAGE_NAME  ?= $(shell sed -n 's/^AGENT_IMAGE_NAME=.*:-\(.*\)}/\1/p' deploy/deploy.sh)
SERVER_IMAGE_TAG  ?= $(IMAGE_TAG)
AGENT_IMAGE_TAG   ?= $(IMAGE_TAG)
PLATFORMS         ?= amd64 arm64

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

.PHONY: build
build: ## static binaries in bin/
	@mkdir -p bin
	@for c in $(COMMANDS); do \
		echo "go build bin/$$c"; \
		CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o "bin/$$c" "./cmd/$$c" || exit 1; \
	done
	@ln -sf netcheck bin/kubectl-netcheck
	@printf '#!/bin/sh\n# kubectl asks this for completions of kubectl netcheck.\nexec kubectl netcheck __complete "$$@"\n' > bin/kubectl_complete-netcheck
	@chmod +x bin/kubectl_complete-netcheck

.PHONY: image
image: ## images of server and agent in bin/images/, OCI archives for PLATFORMS, without Docker
	@for arch in $(PLATFORMS); do for c in netchecker-server netchecker-agent; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o "bin/linux-$$arch/$$c" "./cmd/$$c" || exit 1; \
	done; done
	@cd tools && go build -o ../bin/image ./image
	@bin/image -name "$(SERVER_IMAGE_NAME):$(SERVER_IMAGE_TAG)" -version "$(VERSION)" -out bin/images/netchecker-server.tar \
		$(foreach arch,$(PLATFORMS),linux/$(arch)=bin/linux-$(arch)/netchecker-server)
	@bin/image -name "$(AGENT_IMAGE_NAME):$(AGENT_IMAGE_TAG)" -version "$(VERSION)" -out bin/images/netchecker-agent.tar \
		$(foreach arch,$(PLATFORMS),linux/$(arch)=bin/linux-$(arch)/netchecker-agent)

.PHONY: test
test: setup build ## everything: setup, build, check, all tests with the race detector
	@failed=; $(MAKE) --no-print-directory --keep-going check || failed="make check"; \
	go run ./test/run -failed "$$failed" -heavy "$(HEAVY)" -plain "$(PLAIN)" -modules "$(MODULES)" -timeout $(TEST_TIMEOUT) -summary "$(TEST_SUMMARY)" $(PKG)

.PHONY: test-cluster
test-cluster: setup ## the tests on a real Kubernetes on this machine (root; 10 to 30 minutes more the first time)
	@if [ "$$(id -u)" != 0 ]; then echo "make test-cluster is not run as root: only etcd and the API server are tested, a cluster needs namespaces, mounts and cgroups"; fi
	@failed=; (cd $(CLUSTER) && go run ./programs/build $$([ "$$(id -u)" = 0 ] || echo -control-plane)) || failed="building Kubernetes"; \
	go run ./test/run -failed "$$failed" -modules "$(CLUSTER)" -timeout $(CLUSTER_TIMEOUT) -summary "$(TEST_SUMMARY)"

.PHONY: setup
setup: ## as root: install the programs that tests need
	@test/setup.sh

.PHONY: check fmt vet fix lint vuln tree
check: fmt vet fix lint vuln tree ## gofmt, vet, go fix, staticcheck, govulncheck and the rules on the tree
fmt:
	@bad=$$(gofmt -l $(ROOMS)); test -z "$$bad" || { echo "gofmt would change:"; echo "$$bad"; exit 1; }
vet:
	go vet ./...
	@for m in $(MODULES) $(CLUSTER); do echo "go vet in $$m"; (cd $$m && go vet ./...) || exit 1; done
fix:
	go fix -diff ./...
	@for m in $(MODULES) $(CLUSTER); do (cd $$m && go fix -diff ./...) || exit 1; done
lint:
	$(TOOL) staticcheck ./...
	@for m in $(MODULES) $(CLUSTER); do (cd $$m && go tool -modfile=$(CURDIR)/tools/go.mod staticcheck ./...) || exit 1; done
vuln:
	@tools/govulncheck.sh
tree:
	go test ./test/tree

.PHONY: bench
bench: ## all benchmarks, or those that match BENCH
	go test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 60m -p 1 ./...

.PHONY: fuzz
fuzz: ## every fuzz function for FUZZTIME
	@grep -r --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]*' $(ROOMS) | grep -v /testdata/ | sort | \
	while IFS=: read -r file func; do \
		echo "fuzz $$(dirname $$file) $${func#func }"; \
		go test "./$$(dirname $$file)" -run '^$$' -fuzz "^$${func#func }\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 50x || exit 1; \
	done

.PHONY: lab
lab: ## a cluster network of LAB_NODES nodes until Ctrl-C (root)
	@mkdir -p bin && go build -o bin/lab ./test/lab/cmd/lab
	bin/lab -nodes $(LAB_NODES)

.PHONY: demo
demo: build ## a small mesh on this machine for DEMO_SECONDS
	bin/netcheck demo --seconds $(DEMO_SECONDS)

.PHONY: faults
faults: build ## FAULTS (all) called by their names, NETCHECKER_RUNS times each, and PAIRS of them at once (root)
	NETCHECKER_FAULTS=$(FAULTS) NETCHECKER_PAIRS=$(PAIRS) go test -count=1 -v -run "FaultsAreCalled|TwoFaults" -timeout 5h ./test/e2e | grep -e VERDICT -e wrong: -e says -e TABLE

.PHONY: soak
soak: build ## the whole system under load for SOAK_MINUTES (root)
	NETCHECKER_SOAK=$(SOAK_MINUTES)m go test -race -count=1 -v -run Soak -timeout $$(($(SOAK_MINUTES) + 10))m -p 1 ./test/...

.PHONY: clean
clean: ## remove what make made
	rm -rf bin .cache
