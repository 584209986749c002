//! Labels of many, indexed: a selector is asked of all of them at once.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;
use policy_kubernetes::selector::Requirement;
use policy_kubernetes::{Labels, Selector};

/// Who has which labels, by number.
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

    /// Those whom a selector takes. The same as [`Selector::matches`] of each of them.
    pub(crate) fn select(&self, selector: &Selector<'_>) -> FixedBitSet {
        let mut selected = everyone(self.len);
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

/// All of so many.
pub(crate) fn everyone(len: usize) -> FixedBitSet {
    let mut all = FixedBitSet::with_capacity(len);
    all.insert_range(..);
    all
}
