//! The reasons why a pod gets no exporter, with the words that warnings, the audit log and the documentation use.

use policy_core::{Field, Undecided};

/// Declares [`SkipReason`], so that each reason has its word and meaning in one place.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $reason:ident = $word:literal,)+) => {
        /// Why a pod gets no exporter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum SkipReason {
            $($(#[doc = $doc])+ $reason,)+
        }

        impl SkipReason {
            /// All reasons.
            pub const ALL: &[SkipReason] = &[$(SkipReason::$reason,)+];

            /// The word for the reason, as in warnings and the audit log.
            pub const fn as_str(self) -> &'static str {
                match self { $(SkipReason::$reason => $word,)+ }
            }
        }
    };
}

reasons! {
    /// Neither the pod nor its namespace requests an exporter.
    NotRequested = "not-requested",
    /// The pod does not request an exporter, and the labels of its namespace are not available.
    NamespaceUnknown = "namespace-unknown",
    /// The pod's annotation is `"false"`.
    OptedOut = "opted-out",
    /// A mirror pod cannot be changed.
    MirrorPod = "mirror-pod",
    /// The exporter would listen on the node's address.
    HostNetwork = "host-network",
    /// Exporters are built for Linux.
    Windows = "windows",
    /// A classic container would keep the pod from completing.
    RunsToCompletion = "runs-to-completion",
    /// The annotation does not name a known exporter.
    UnknownExporter = "unknown-exporter",
    /// No exporter matches the images and programs in the pod.
    NotRecognised = "image-not-recognised",
    /// The images in the pod match more than one exporter.
    Ambiguous = "several-recognised",
    /// An image reference is not valid.
    ImageUnreadable = "image-unreadable",
    /// The server exports metrics itself.
    MetricsBuiltIn = "metrics-built-in",
    /// The pod already has the exporter.
    AlreadyPresent = "already-present",
    /// Another container uses the port, or both port names.
    PortTaken = "port-taken",
    /// The exporter needs a password or URI, and no Secret is named.
    SecretMissing = "secret-missing",
    /// The reference to the Secret is not `SECRET/KEY`.
    SecretMalformed = "secret-malformed",
}

impl SkipReason {
    /// Whether a user must fix something before the pod can get an exporter.
    pub(crate) fn is_a_mistake(self, pod_requests_it: bool) -> bool {
        match self {
            SkipReason::UnknownExporter
            | SkipReason::ImageUnreadable
            | SkipReason::PortTaken
            | SkipReason::SecretMissing
            | SkipReason::SecretMalformed => true,
            // A namespace that enables exporters can also have pods without a database.
            SkipReason::NotRecognised | SkipReason::Ambiguous => pod_requests_it,
            _ => false,
        }
    }
}

/// The reason, the field at which it is reported, and the message.
pub(crate) struct SkippedExporter<'a> {
    pub(crate) reason: SkipReason,
    pub(crate) field: Field<'a>,
    pub(crate) message: String,
}

impl<'a> SkippedExporter<'a> {
    pub(crate) fn new(reason: SkipReason, field: Field<'a>, message: impl Into<String>) -> Self {
        SkippedExporter { reason, field, message: message.into() }
    }
}

/// No exporter is added: there is a reason to skip it, or the policy cannot decide.
pub(crate) enum NoExporter<'a> {
    Skip(SkippedExporter<'a>),
    Undecided(Undecided),
}

impl<'a> From<SkippedExporter<'a>> for NoExporter<'a> {
    fn from(skip: SkippedExporter<'a>) -> Self {
        NoExporter::Skip(skip)
    }
}

impl From<Undecided> for NoExporter<'_> {
    fn from(undecided: Undecided) -> Self {
        NoExporter::Undecided(undecided)
    }
}
