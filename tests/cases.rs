//! Checks that every case gives its recorded verdict, in every host.

mod guest;

use std::collections::BTreeMap;
use std::process::ExitCode;

use conformance::cases::{self, CaseFile};
use conformance::hosts::{self, CaseCluster, HostResponse};
use conformance::ignored;
use guest::Guest;
use libtest_mimic::{Arguments, Failed, Trial};
use policy_catalog::POLICIES;
use policy_core::{Arena, Case, PolicyDefinition, case};
use serde_json::json;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for file in cases::all() {
        trials.push(trial("native", &file, records));
        // No webhook serves a policy for complete manifest sets.
        if !file.entry.metadata.for_manifest_sets() {
            trials.push(trial("http", &file, |file| same(file, hosts::http(file)?)));
        }
    }
    match guest::available() {
        // Guests are built before the trials, so that none is built twice. Listing the trials builds none.
        Ok(()) if !arguments.list => trials.extend(in_wasm()),
        Ok(()) => {}
        Err(reason) => trials.push(ignored("wasm", &reason)),
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(
    host: &str,
    file: &CaseFile,
    run: impl FnOnce(&CaseFile) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let file = file.clone();
    Trial::test(format!("{host}::{}::{}", file.entry.metadata.name, file.name), move || run(&file))
}

fn in_wasm() -> Vec<Trial> {
    let mut guests = BTreeMap::new();
    let has_guest = |entry: &&PolicyDefinition| !entry.metadata.for_manifest_sets();
    for entry in POLICIES.iter().filter(has_guest) {
        let name = entry.metadata.name;
        guests.insert(name, Guest::build(name).unwrap_or_else(|error| panic!("{name}: {error:#}")));
    }
    let mut trials: Vec<Trial> = cases::all()
        .iter()
        .filter(|file| !file.entry.metadata.for_manifest_sets())
        .map(|file| {
            let guest = guests[file.entry.metadata.name].clone();
            trial("wasm", file, move |file| same(file, in_guest(&guest, file)?))
        })
        .collect();
    for entry in POLICIES.iter().filter(has_guest) {
        let name = entry.metadata.name;
        let guest = guests[name].clone();
        trials.push(Trial::test(format!("wasm::{name}::protocol"), move || protocol(entry, &guest)));
        trials.push(Trial::test(format!("wasm::{name}::size"), move || size(name)));
    }
    trials.push(Trial::test("wasm::exporter-sidecar::without_a_cluster", without_a_cluster));
    trials
}

fn in_guest(guest: &Guest, file: &CaseFile) -> Result<HostResponse, Failed> {
    let arena = Arena::new();
    let case = Case::decode(&file.text, &arena)?;
    let payload = hosts::payload(&case.settings, &case.request.to_string());
    // A guest always has cluster data, which is empty if the case has none. This makes no difference for a policy that does not
    // need it; `without_a_cluster` tests the others.
    let cluster = CaseCluster::of(&case).unwrap_or(CaseCluster(Vec::new()));
    Ok(hosts::guest_answer(&guest.instance(Some(cluster))?.call("validate", payload.as_bytes())?)?)
}

/// Checks that the verdict is the recorded one, and the one that the file name claims.
fn records(file: &CaseFile) -> Result<(), Failed> {
    let arena = Arena::new();
    let case = Case::decode(&file.text, &arena)?;
    let verdicts = case.run(file.entry, &arena)?;
    let (claim, outcome) = (case::claim(&file.name)?, case::outcome(&verdicts));
    if claim != outcome {
        return Err(
            format!("the file name expects {}, the verdict is {}", claim.as_str(), outcome.as_str()).into()
        );
    }
    let rendered = case::render(&verdicts);
    if case.recorded != Some(rendered.as_str()) {
        let recorded = case.recorded.unwrap_or("nothing\n");
        return Err(format!(
            "run `just bless` if the new verdict is right: recorded {recorded}is {rendered}"
        )
        .into());
    }
    Ok(())
}

fn same(file: &CaseFile, answer: HostResponse) -> Result<(), Failed> {
    let native = hosts::native(file)?;
    if native != answer {
        return Err(format!("the native answer is {native:#?}\nthis host's is {answer:#?}").into());
    }
    Ok(())
}

/// Checks the operations that `kwctl` calls in addition to `validate`.
fn protocol(entry: &PolicyDefinition, guest: &Guest) -> Result<(), Failed> {
    // A kind in the scope of the policy.
    let resource = &entry.metadata.scope.resources[0];
    let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let review = |settings: &str| {
        format!(r#"{{"request":{{"uid":"u","operation":"CREATE","kind":{kind}}},"settings":{settings}}}"#)
    };
    let instance = guest.instance(None)?;
    let call = |operation: &str, payload: &str| -> Result<String, Failed> {
        Ok(String::from_utf8(instance.call(operation, payload.as_bytes())?)?)
    };
    assert_eq!(call("protocol_version", "")?, "\"v1\"");
    for none in ["null", "{}"] {
        assert_eq!(call("validate_settings", none)?, r#"{"valid":true,"message":null}"#);
    }
    let typo = call("validate_settings", r#"{"levle":"baseline"}"#)?;
    assert!(typo.contains(r#""valid":false"#) && typo.contains("unknown field `levle`"), "{typo}");
    for (payload, reason) in [
        (String::new(), "EOF"),
        ("{}".to_owned(), "request.operation: must be set"),
        (review("[]"), "must be"),
        (review("null"), "no object"),
    ] {
        let answer = call("validate", &payload)?;
        assert!(answer.contains(r#""accepted":false"#) && answer.contains(reason), "{payload}: {answer}");
    }
    Ok(())
}

/// If the host does not provide the objects that metadata.yml requires, a mutating policy admits with a warning.
fn without_a_cluster() -> Result<(), Failed> {
    let request = r#"{"uid":"u","operation":"CREATE","namespace":"data","kind":{"version":"v1","kind":"Pod"},
        "object":{"spec":{"containers":[{"name":"db","image":"mysql:8.4"}]}}}"#;
    let guest = Guest::build("exporter-sidecar")?;
    let answer = guest.instance(None)?.call("validate", hosts::payload("", request).as_bytes())?;
    let answer = hosts::guest_answer(&answer)?;
    assert!(answer.accepted && answer.patched.is_none(), "{answer:?}");
    assert_eq!(answer.audit.get("exporter-sidecar").map(String::as_str), Some("cluster-unknown"));
    let warning = answer.warnings.first().ok_or("there must be a warning")?;
    assert!(warning.contains("the host did not return the cluster's Namespace objects"), "{warning}");
    // A validating policy denies.
    let guest = Guest::build("network-policy-required")?;
    let answer = guest.instance(None)?.call("validate", hosts::payload("", request).as_bytes())?;
    let answer = hosts::guest_answer(&answer)?;
    let message = answer.message.ok_or("there must be a message")?;
    let reason = "could not decide: the host did not return the cluster's NetworkPolicy objects";
    assert!(!answer.accepted && message.contains(reason), "{message}");
    Ok(())
}

/// The host compiles a guest at every start, so its size determines the start-up time.
fn size(policy: &str) -> Result<(), Failed> {
    // This policy contains the evaluation of NetworkPolicies.
    let limit = match policy {
        "network-policy-required" => 250_000,
        // This policy contains the table of exporters and their settings.
        "exporter-sidecar" => 210_000,
        _ => 200_000,
    };
    let size = guest::module(policy)?.len();
    if size > limit {
        return Err(format!("{policy}.wasm has {size} bytes, more than {limit}").into());
    }
    Ok(())
}
