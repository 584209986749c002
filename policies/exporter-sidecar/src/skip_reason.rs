//! Why a pod gets no exporter: one reason out of this list, the same in warnings, in the audit log and on the page.

use policy_core::{Field, Undecided};

/// Declares [`SkipReason`], so that a reason's word, its meaning and the list of all stand in one place.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $reason:ident = $word:literal,)+) => {
        /// The reasons.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum SkipReason {
            $($(#[doc = $doc])+ $reason,)+
        }

        impl SkipReason {
            /// All of them.
            pub const ALL: &[SkipReason] = &[$(SkipReason::$reason,)+];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(SkipReason::$reason => $word,)+ }
            }
        }
    };
}

reasons! {
    /// Neither the pod nor its namespace asks for an exporter.
    NotRequested = "not-requested",
    /// The pod does not ask, and whether its namespace does is not known here.
    NamespaceUnknown = "namespace-unknown",
    /// The pod says `"false"`.
    OptedOut = "opted-out",
    /// A mirror pod cannot be changed.
    MirrorPod = "mirror-pod",
    /// The exporter would listen on the node's own address.
    HostNetwork = "host-network",
    /// Exporters are built for Linux.
    Windows = "windows",
    /// A container of the classic form would keep a pod that is to end from ending.
    RunsToCompletion = "runs-to-completion",
    /// The annotation names no exporter.
    UnknownExporter = "unknown-exporter",
    /// No image in the pod is one that an exporter is for.
    NotRecognised = "image-not-recognised",
    /// Images in the pod are those of more than one exporter.
    Ambiguous = "several-recognised",
    /// An image reference is none.
    ImageUnreadable = "image-unreadable",
    /// The server has metrics of its own.
    MetricsBuiltIn = "metrics-built-in",
    /// The pod has that exporter.
    AlreadyPresent = "already-present",
    /// Another container has the port.
    PortTaken = "port-taken",
    /// The exporter needs a password, and no Secret is named.
    SecretMissing = "secret-missing",
    /// What names the Secret is not `SECRET/KEY`.
    SecretMalformed = "secret-malformed",
}

impl SkipReason {
    /// Whether something has to be mended before the pod can have what was asked for.
    pub(crate) fn is_a_mistake(self, pod_requests_it: bool) -> bool {
        match self {
            SkipReason::UnknownExporter
            | SkipReason::ImageUnreadable
            | SkipReason::PortTaken
            | SkipReason::SecretMissing
            | SkipReason::SecretMalformed => true,
            // In a namespace of databases there are other pods too.
            SkipReason::NotRecognised | SkipReason::Ambiguous => pod_requests_it,
            _ => false,
        }
    }
}

/// Why, where, and what to do about it.
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

/// What ends the way to an exporter: a reason to add none, or that it cannot be decided.
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
