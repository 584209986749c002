//! Is every manifest admitted by every policy, and is each one part of what is applied?

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use conformance::root;
use policy_core::{Arena, Field, Objects, yaml};
use webhook_server::args::Selection;
use webhook_server::check::check;
use webhook_server::config;
use webhook_server::input::{Kustomizations, Place, places};
use webhook_server::report::Report;

/// The files themselves are judged, so that no tool is needed; `kustomize` adds nothing to them yet.
#[test]
fn every_manifest_is_admitted() {
    let policies = config::select(&Selection::default()).expect("every policy has defaults");
    let mut report = Report::default();
    for place in files() {
        let source = Place::File(place).read().expect("a manifest can be read");
        check(&source, &policies, &Objects::default(), "default", &mut report);
    }
    assert_eq!(report.errors, Vec::<String>::new());
    assert!(report.objects >= 7, "the manifests are found");
    let denied: Vec<String> =
        report.rows.iter().filter(|row| !row.denials.is_empty()).map(|row| format!("{row:?}")).collect();
    assert_eq!(denied, Vec::<String>::new());
}

#[test]
fn every_manifest_is_in_the_kustomization_beside_it() {
    for file in files() {
        let folder = file.parent().expect("a file is in a folder");
        let listed = resources(&folder.join("kustomization.yaml"));
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(listed.contains(&name), "{}: not in the kustomization's resources", file.display());
    }
}

#[test]
fn no_image_is_latest_and_every_container_has_requests() {
    for file in files() {
        let text = std::fs::read_to_string(&file).expect("a manifest can be read");
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("image: ")) {
            let tag = line.rsplit_once(':').map(|(_, tag)| tag);
            assert!(tag.is_some_and(|tag| tag != "latest"), "{}: {line}: an exact tag", file.display());
        }
        let containers = text.matches("image: ").count();
        assert_eq!(
            text.matches("requests:").count(),
            containers,
            "{}: requests of each container",
            file.display()
        );
    }
}

fn files() -> Vec<PathBuf> {
    let found = places(&[root().join("manifests")], Kustomizations::TakeFiles).expect("there are manifests");
    found
        .into_iter()
        .filter_map(|place| match place {
            Place::File(file) => Some(file),
            _ => None,
        })
        .collect()
}

fn resources(kustomization: &Path) -> BTreeSet<String> {
    let text =
        std::fs::read_to_string(kustomization).unwrap_or_else(|e| panic!("{}: {e}", kustomization.display()));
    let arena = Arena::new();
    let documents = yaml::documents(&text);
    let value = documents[0].decode(&arena).expect("it is YAML").expect("it is not empty");
    let items = Field::root(value, &arena).at("resources").items().expect("it lists resources");
    items.filter_map(|item| item.str().ok().flatten().map(str::to_owned)).collect()
}
