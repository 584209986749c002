# Every command of the project, one line each; `just` lists them.

[private]
default:
    @just --list --unsorted

# what CI runs
check:
    bash .ci/run

# formatting
fmt:
    cargo fmt --all --check

# clippy, without a warning
lint:
    cargo clippy --workspace --all-targets --quiet -- -D warnings

# licences, advisories and layers of the dependencies (cargo install cargo-deny)
deny:
    cargo deny --log-level error check bans licenses sources

# the policies build where there is no operating system
purity:
    rustup target add wasm32-unknown-unknown
    cargo build -p policy-catalog --target wasm32-unknown-unknown --quiet

# all tests, or as cargo test takes it: `just test --test cases deny`
test *ARGS:
    cargo test {{ARGS}}

# write the verdicts of cases and every generated file; read the diff
bless:
    cargo run --quiet -- test --bless policies
    BLESS=1 cargo test --quiet -p conformance --test generated
    BLESS=1 cargo test --quiet -p conformance --test cli every_form_is_as_it_was
    cargo test --quiet -p conformance --test cases --test catalog

# what tests need that Go builds: kubeseal, Prometheus, its operator and adapter, exporters, kwok …; once, about ten minutes
tools:
    tests/tools/build.sh target/tools

# a control plane of Kubernetes for tests, built with Go; once, about five minutes
cluster-assets:
    tests/control-plane/build.sh target/control-plane

# all of production on loopback, until it scales, drawn in FILE (needs Go, MariaDB, Redis, NGINX; the first time takes long)
platform FILE="platform.svg": tools cluster-assets
    cargo build --quiet -p conformance --example platform
    cargo run --quiet -- demo --platform --picture {{FILE}}

# all secrets of an environment anew, sealed with your controller's certificate (kubeseal --fetch-cert > FILE)
seal ENVIRONMENT CERTIFICATE:
    PATH="$PWD/target/tools:$PATH" manifests/platform/security/sealed-secrets/seal.sh {{ENVIRONMENT}} {{CERTIFICATE}}

# a new policy, which fails the catalog test until it is filled in
new-policy NAME:
    cargo run --quiet -p conformance --example new-policy -- {{NAME}}

# target/wasm/<policy>.wasm of every policy that a cluster evaluates, for kwctl and policy-server
wasm:
    rustup target add wasm32-wasip1
    mkdir -p target/wasm
    for metadata in policies/*/metadata.yml; do name=$(basename $(dirname $metadata)); cargo guest -p $name && cp target/wasm32-wasip1/guest/$(echo $name | tr - _).wasm target/wasm/$name.wasm; done
    ls -l target/wasm

# the container image, one static binary: an archive in target/image, or where `buildah push` can put it (needs buildah, musl-tools)
image *DESTINATION:
    webhook-server/image.sh {{DESTINATION}}

# map.html: who can talk to whom in an environment of the manifests
map ENVIRONMENT="production":
    cargo run --release --quiet -- connectivity manifests/clusters/{{ENVIRONMENT}} --output html > map.html

# the playground, a page on which manifests are judged as they are typed, as a folder for a static host (needs npm)
site DIR="target/site":
    cargo run --quiet -p conformance --example site -- {{DIR}}

# the playground on loopback
playground *ARGS: site
    PRATIQUE_SITE=target/site cargo run --release --quiet -- playground {{ARGS}}

# the webhook on loopback
serve *ARGS:
    cargo run --release --quiet -- serve {{ARGS}}

# engine, server, check and map, against bare servers and bare parsers in the same run
bench *FILTER:
    cargo build --release --quiet --bin pratique
    cargo bench -p conformance --quiet {{FILTER}}

# coverage-guided fuzzing, SECONDS for each target (cargo install cargo-fuzz; nightly Rust)
fuzz SECONDS="60":
    cd tests/fuzz && for target in review yaml; do mkdir -p corpus/$target && cargo +nightly fuzz run --fuzz-dir . $target corpus/$target seeds/$target -- -max_total_time={{SECONDS}} -max_len=8192; done
