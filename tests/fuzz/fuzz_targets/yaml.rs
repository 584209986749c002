//! For any text, the YAML decoder of `check` returns an error or documents, and every document has positions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy_core::path::Segment;
use policy_core::{Arena, FieldPath, yaml};

fuzz_target!(|text: &str| {
    let path = FieldPath(vec![Segment::Key("a".to_owned()), Segment::Index(0)]);
    for document in yaml::documents(text) {
        let arena = Arena::new();
        drop(document.decode(&arena));
        assert!(document.places().of(&path).line >= 1);
    }
});
