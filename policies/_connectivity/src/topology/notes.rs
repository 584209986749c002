//! What a map is without: what is not read, and what is not known.

use std::collections::BTreeSet;

use policy_kubernetes::Selector;

use policy_kubernetes::namespace::NAMESPACE_NAME;
use policy_kubernetes::workloads::LABELS_OF_EACH_POD;

use super::Topology;

impl Topology<'_> {
    /// What has to do with traffic and is not read, or not known.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        if self.workloads.is_empty() {
            notes.push("there is no pod and no workload in what is given".to_owned());
        }
        let asks = |key: &&str| *key != NAMESPACE_NAME;
        let ends: BTreeSet<&str> =
            self.peers().filter_map(|peer| peer.0).flat_map(Selector::keys).filter(asks).collect();
        let given = |namespace: &&&str| !self.namespaces.contains_key(**namespace);
        let namespaces = self.namespaces();
        let unknown: Vec<&str> = namespaces.keys().filter(given).copied().collect();
        if !ends.is_empty() && !unknown.is_empty() {
            let (ends, unknown) = (Vec::from_iter(ends).join(", "), unknown.join(", "));
            notes.push(format!(
                "the labels of these Namespaces are not given, and NetworkPolicies ask for {ends}: {unknown}"
            ));
        }
        for key in self.requested_keys().into_iter().filter(|key| self.is_missing(key)) {
            notes
                .push(format!("controllers add the label {key} to pods: what asks for it is not on the map"));
        }
        notes
    }

    /// Whether controllers add a label to pods, and none that is given has it.
    fn is_missing(&self, key: &str) -> bool {
        LABELS_OF_EACH_POD.contains(&key)
            && self.workloads.values().all(|workload| workload.labels.get(key).is_none())
    }
}
