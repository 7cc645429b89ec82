# The Python tools that the tests need are pinned in requirements.txt and live here.
VENV := $(CURDIR)/.venv
export VENV
export SAM_CLI_TELEMETRY := 0
export INSTA_UPDATE := no
export RUSTDOCFLAGS := -D warnings

.PHONY: test format lint units docs template chaos venv clean

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
