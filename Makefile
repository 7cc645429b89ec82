# The Python tools that the tests need are pinned in requirements.txt and live here.
VENV := $(CURDIR)/.venv
export VENV
export SAM_CLI_TELEMETRY := 0
export INSTA_UPDATE := no
export RUSTDOCFLAGS := -D warnings

.PHONY: test format lint units docs template package bench chaos venv clean

## test: everything that CI runs
test: format lint units docs template

## format: the sources are formatted
format:
	cargo fmt --check

## lint: clippy, all targets, warnings are errors
lint:
	cargo clippy --locked --all-targets --all-features -- -D warnings
	cargo clippy --locked --bin invalidator --no-default-features --features function -- -D warnings

## units: all tests, those against moto and ministack included, and the examples in the docs
units: venv
	cargo test --locked --lib --bins --tests -- --include-ignored
	cargo test --locked --doc

## docs: the documentation builds without a warning
docs:
	cargo doc --locked --no-deps --all-features --document-private-items

## template: the SAM template is valid
template: venv
	$(VENV)/bin/sam validate --lint --template template.yaml
	$(VENV)/bin/cfn-lint template.yaml

## package: the function as it is deployed, built by SAM for this machine, and all tests again with it
package: venv
	PATH="$(VENV)/bin:$$PATH" CARGO_LAMBDA_COMPILER=cargo $(VENV)/bin/sam build --region us-east-1 \
		--parameter-overrides Architecture=$(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)
	BOOTSTRAP="$(CURDIR)/.aws-sam/build/Function/bootstrap" cargo test --locked --test it -- --include-ignored

## bench: how long functions take to start and to answer, and what they need; ROUNDS=21 of them
bench: venv
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benches/start/requirements.txt
	cargo build --locked --release --no-default-features --features function --bin invalidator --example floor
	# The benchmark's own build would write over them, by another profile.
	mkdir -p target/measured && cp target/release/invalidator target/release/examples/floor target/measured
	PYTHON="$(VENV)/bin/python" ROUNDS=$(ROUNDS) ONLY="$(ONLY)" cargo bench --locked --bench start

## chaos: nothing is lost, with any SEED and number of CHANGES
chaos:
	SEED=$(SEED) CHANGES=$(CHANGES) cargo test --locked --test it chaos -- --nocapture

## venv: the Python tools
venv: $(VENV)/installed

$(VENV)/installed: requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	touch $@

clean:
	cargo clean
	rm -rf $(VENV) .aws-sam
