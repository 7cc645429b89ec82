# The virtual environments of the Python tools that the tests use. ministack has its own, because it
# pins another botocore than aws-sam-cli.
VENV := $(CURDIR)/.venv
VENV_MINISTACK := $(CURDIR)/.venv-ministack
export VENV VENV_MINISTACK
# The CDK, for its example.
CDK := $(CURDIR)/examples/cdk/node_modules/installed
export SAM_CLI_TELEMETRY := 0
export INSTA_UPDATE := no
export RUSTDOCFLAGS := -D warnings

.DEFAULT_GOAL := help
.PHONY: help test format lint units docs template package release bench chaos venv cdk clean

## help: print the targets
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## test: run all checks and tests (CI runs this, `package` and `release`)
test: format lint units docs template

## format: check the formatting
format:
	cargo fmt --check

## lint: run clippy on all targets; warnings are errors
lint:
	cargo clippy --locked --all-targets --all-features -- -D warnings
	cargo clippy --locked --bin invalidator --no-default-features --features function -- -D warnings

## units: run all tests, including those against moto and ministack, and the doc examples
units: venv cdk
	cargo build --locked --examples
	cargo test --locked --lib --bins --tests -- --include-ignored
	cargo test --locked --doc

## docs: build the API documentation; warnings are errors
docs:
	cargo doc --locked --no-deps --all-features --document-private-items

## template: validate the templates
template: venv
	$(VENV)/bin/sam validate --lint --template template.yaml
	$(VENV)/bin/cfn-lint template.yaml templates/forward-events.yaml

## package: build the function with SAM for this machine and run all tests again with it
package: venv cdk
	PATH="$(VENV)/bin:$$PATH" CARGO_LAMBDA_COMPILER=cargo $(VENV)/bin/sam build --region us-east-1 \
		--parameter-overrides Architecture=$(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)
	cargo build --locked --examples
	BOOTSTRAP="$(CURDIR)/.aws-sam/build/Function/bootstrap" cargo test --locked --test it -- --include-ignored

## release: build the function, cfadmin, the templates and their checksums into dist/, and test them
release: venv
	rm -rf dist
	PATH="$(VENV)/bin:$$PATH" $(VENV)/bin/python scripts/release.py function cfadmin checksums
	DIST="$(CURDIR)/dist" cargo test --locked --test it -- --include-ignored template::released

## bench: measure start, answers, CPU and memory; options ROUNDS=21 ONLY=<part of a name>
bench: venv
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benches/start/requirements.txt
	cargo build --locked --release --no-default-features --features function --bin invalidator --example floor
	# cargo bench builds with another profile and would overwrite these binaries.
	mkdir -p target/measured && cp target/release/invalidator target/release/examples/floor target/measured
	PYTHON="$(VENV)/bin/python" ROUNDS=$(ROUNDS) ONLY="$(ONLY)" cargo bench --locked --bench start

## chaos: test with random faults that no change is lost and nothing stale is left; options SEED=<n> CHANGES=<n>
chaos:
	SEED=$(SEED) CHANGES=$(CHANGES) cargo test --locked --test it -- chaos fresh --nocapture

## venv: install the Python tools
venv: $(VENV)/installed $(VENV_MINISTACK)/installed

$(VENV)/installed: requirements.txt
$(VENV_MINISTACK)/installed: requirements-ministack.txt
$(VENV)/installed $(VENV_MINISTACK)/installed:
	python3 -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

## cdk: install the CDK
cdk: $(CDK)

$(CDK): examples/cdk/package-lock.json
	@command -v npm > /dev/null || { echo "npm is missing: the test of examples/cdk needs Node.js" >&2; exit 1; }
	cd examples/cdk && npm ci --no-audit --no-fund
	touch $@

## clean: remove everything that was built
clean:
	cargo clean
	rm -rf $(VENV) $(VENV_MINISTACK) .aws-sam dist
	rm -rf examples/cdk/build examples/cdk/node_modules
