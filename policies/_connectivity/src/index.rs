//! An index of labels: one lookup matches a selector against all objects.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;
use policy_kubernetes::selector::Requirement;
use policy_kubernetes::{Labels, Selector};

/// The objects that have each label, by index.
pub(crate) struct LabelIndex<'a> {
    values: BTreeMap<(&'a str, &'a str), Vec<usize>>,
    keys: BTreeMap<&'a str, Vec<usize>>,
    len: usize,
}

impl<'a> LabelIndex<'a> {
    pub(crate) fn new<'l>(all: impl Iterator<Item = &'l Labels<'a>>) -> Self
    where
        'a: 'l,
    {
        let mut index = LabelIndex { values: BTreeMap::new(), keys: BTreeMap::new(), len: 0 };
        for labels in all {
            for (key, value) in labels.iter() {
                index.values.entry((key, value)).or_default().push(index.len);
                index.keys.entry(key).or_default().push(index.len);
            }
            index.len += 1;
        }
        index
    }

    /// The objects that a selector matches. Equivalent to calling [`Selector::matches`] for each of them.
    pub(crate) fn select(&self, selector: &Selector<'_>) -> FixedBitSet {
        let mut selected = all_indices(self.len);
        for requirement in &selector.requirements {
            let mut named = FixedBitSet::with_capacity(self.len);
            match requirement {
                Requirement::In(key, values) | Requirement::NotIn(key, values) => {
                    for value in values {
                        named.extend(self.values.get(&(&**key, &**value)).into_iter().flatten().copied());
                    }
                }
                Requirement::Exists(key) | Requirement::DoesNotExist(key) => {
                    named.extend(self.keys.get(&**key).into_iter().flatten().copied());
                }
            }
            match requirement {
                Requirement::In(..) | Requirement::Exists(_) => selected.intersect_with(&named),
                Requirement::NotIn(..) | Requirement::DoesNotExist(_) => selected.difference_with(&named),
            }
        }
        selected
    }
}

/// The set of all indices below `len`.
pub(crate) fn all_indices(len: usize) -> FixedBitSet {
    let mut all = FixedBitSet::with_capacity(len);
    all.insert_range(..);
    all
}
