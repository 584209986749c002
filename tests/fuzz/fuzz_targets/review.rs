//! For any bytes that the webhook receives, the decoder, `admit` and the encoder return an error or a valid response.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use policy_catalog::POLICIES;
use policy_core::{Arena, ConfiguredPolicy, AdmissionPhase, NoCluster, Review, admit};

static CONFIGURED: LazyLock<Vec<ConfiguredPolicy>> = LazyLock::new(|| {
    let configure = |entry: &policy_core::PolicyDefinition| ConfiguredPolicy {
        metadata: entry.metadata,
        policy: (entry.configure)("").expect("every policy has defaults"),
    };
    POLICIES.iter().map(configure).collect()
});

fuzz_target!(|bytes: &[u8]| {
    let arena = Arena::new();
    let Ok(review) = Review::decode(bytes, &arena) else { return };
    let verdicts = admit(&CONFIGURED, &review.request, &NoCluster, AdmissionPhase::Mutating);
    let answer = review.answer(&verdicts, AdmissionPhase::Mutating);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("an answer is JSON");
    assert_eq!(answer["response"]["uid"], review.request.uid);
    assert_eq!(answer["response"]["allowed"], verdicts.allowed());
    assert_eq!(answer["response"]["status"]["message"].is_string(), !verdicts.allowed());
});
