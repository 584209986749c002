//! Notes about objects and labels that are missing from a map.

use std::collections::BTreeSet;

use policy_kubernetes::Selector;

use policy_kubernetes::namespace::NAMESPACE_NAME;
use policy_kubernetes::workloads::LABELS_OF_EACH_POD;

use super::Topology;

impl Topology<'_> {
    /// Relevant objects that are not supported, and missing labels.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        if self.workloads.is_empty() {
            notes.push("no pods or workloads found in the manifests".to_owned());
        }
        let is_custom = |key: &&str| *key != NAMESPACE_NAME;
        let keys: BTreeSet<&str> =
            self.peers().filter_map(|peer| peer.0).flat_map(Selector::keys).filter(is_custom).collect();
        let is_undefined = |namespace: &&&str| !self.namespaces.contains_key(**namespace);
        let namespaces = self.namespaces();
        let unknown: Vec<&str> = namespaces.keys().filter(is_undefined).copied().collect();
        if !keys.is_empty() && !unknown.is_empty() {
            let (keys, unknown) = (Vec::from_iter(keys).join(", "), unknown.join(", "));
            notes.push(format!(
                "NetworkPolicies select namespaces by {keys}, but the manifests do not define these namespaces: {unknown}"
            ));
        }
        for key in self.selector_keys().into_iter().filter(|key| self.is_missing(key)) {
            notes.push(format!(
                "controllers add the label {key} to pods, so selectors that use it match nothing on the map"
            ));
        }
        notes
    }

    /// Whether controllers add this label to pods, but no pod of the topology has it.
    fn is_missing(&self, key: &str) -> bool {
        LABELS_OF_EACH_POD.contains(&key)
            && self.workloads.values().all(|workload| workload.labels.get(key).is_none())
    }
}
