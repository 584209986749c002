# The commands of the project; `just` lists them.

[private]
default:
    @just --list --unsorted

# run everything that CI runs
check:
    bash .ci/run

# check the formatting
fmt:
    cargo fmt --all --check

# run clippy, with warnings as errors
lint:
    cargo clippy --workspace --all-targets --quiet -- -D warnings

# check licenses, sources and layers of the dependencies (cargo install cargo-deny)
deny:
    cargo deny --log-level error check bans licenses sources

# build the policies for a target without an operating system
purity:
    rustup target add wasm32-unknown-unknown
    cargo build -p policy-catalog --target wasm32-unknown-unknown --quiet

# run the fast tests while you work; under a minute when everything is compiled
quick:
    PROPTEST_CASES=200 cargo test --quiet -p conformance --test cases --test catalog --test cli --test generated --test mutation --test wire

# run all tests, or pass arguments to cargo test: `just test --test cases deny`
test *ARGS:
    cargo test --workspace {{ARGS}}

# write the verdicts of cases and all generated files; review the diff
bless:
    BLESS=1 cargo test --quiet -p conformance --test generated
    BLESS=1 cargo test --quiet -p conformance --test cli reports_match_the_golden_files
    cargo test --quiet -p conformance --test cases --test catalog

# build the Go programs that tests need: kubeseal, Prometheus, its operator and adapter, exporters, kwok …; once, about ten minutes
tools:
    tests/tools/build.sh target/tools

# build a Kubernetes control plane for tests with Go; once, about five minutes
cluster-assets:
    tests/control-plane/build.sh target/control-plane

# run all of production on loopback until it scales, and draw it in FILE (needs Go, MariaDB, Redis, NGINX; slow the first time)
platform FILE="platform.svg": tools cluster-assets
    cargo build --quiet -p conformance --example platform
    cargo run --quiet -- demo --platform --picture {{FILE}}

# generate all secrets of an environment, sealed with your controller's certificate (kubeseal --fetch-cert > FILE)
seal ENVIRONMENT CERTIFICATE:
    PATH="$PWD/target/tools:$PATH" manifests/platform/security/sealed-secrets/seal.sh {{ENVIRONMENT}} {{CERTIFICATE}}

# create a policy; the catalog test fails until you complete it
new-policy NAME:
    cargo run --quiet -p conformance --example new-policy -- {{NAME}}

# build target/wasm/<policy>.wasm for every policy that a cluster evaluates, for kwctl and policy-server
wasm:
    rustup target add wasm32-wasip1
    mkdir -p target/wasm
    for metadata in policies/*/metadata.yml; do name=$(basename $(dirname $metadata)); cargo guest -p $name && cp target/wasm32-wasip1/guest/$(echo $name | tr - _).wasm target/wasm/$name.wasm; done
    ls -l target/wasm

# build the container image with one static binary, as an archive in target/image or to a destination of `buildah push` (needs buildah, musl-tools)
image *DESTINATION:
    webhook-server/image.sh {{DESTINATION}}

# write map.html: the allowed connections in an environment of the manifests
map ENVIRONMENT="production":
    cargo run --release --quiet -- connectivity manifests/clusters/{{ENVIRONMENT}} --output html > map.html

# build the playground, a page that checks manifests as you type, as a folder for a static host (needs npm)
site DIR="target/site":
    cargo run --quiet -p conformance --example site -- {{DIR}}

# serve the playground on loopback
playground *ARGS: site
    PRATIQUE_SITE=target/site cargo run --release --quiet -- playground {{ARGS}}

# run the webhook on loopback
serve *ARGS:
    cargo run --release --quiet -- serve {{ARGS}}

# benchmark the engine, server, check and map, against bare servers and bare parsers in the same run
bench *FILTER:
    cargo build --profile dist --quiet --bin pratique
    cargo bench --profile dist -p conformance --quiet {{FILTER}}

# run coverage-guided fuzzing, SECONDS for each target (cargo install cargo-fuzz; nightly Rust)
fuzz SECONDS="60":
    cd tests/fuzz && for target in review yaml; do mkdir -p corpus/$target && cargo +nightly fuzz run --fuzz-dir . $target corpus/$target seeds/$target -- -max_total_time={{SECONDS}} -max_len=8192; done
