//! Decodes and encodes AdmissionReview (admission.k8s.io/v1). No other module depends on this format.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use crate::field::{Field, Undecided};
use crate::path::excerpt;
use crate::request::Request;
use crate::value::{Arena, DecodeError, Value};
use crate::verdicts::{AdmissionPhase, AuditAnnotations, Verdicts};

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// A decoded AdmissionReview.
#[derive(Clone, Copy, Debug)]
pub struct Review<'a> {
    /// The request in the review.
    pub request: Request<'a>,
}

/// A body that is not an AdmissionReview; the caller returns an HTTP error, not a verdict.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The body is not JSON.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The JSON is not an AdmissionReview, or lacks a required field.
    #[error("not an AdmissionReview of {API_VERSION}: {0}")]
    Unreadable(#[from] Undecided),
}

impl<'a> Review<'a> {
    /// Decodes a review.
    ///
    /// # Errors
    /// [`ReviewError`], with the field that is not valid.
    pub fn decode(text: &'a [u8], arena: &'a Arena) -> Result<Self, ReviewError> {
        let root = Field::root(Value::from_json(text, arena)?, arena);
        for (key, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            let field = root.at(key);
            let found = field.text()?;
            if found != expected {
                Err(field.undecided(format!("must be `{expected}`, is `{}`", excerpt(found))))?;
            }
        }
        let request = Request::read(root.at("request"))?;
        Ok(Review { request })
    }

    /// Encodes the response to the review as JSON.
    ///
    /// Only the mutating phase returns the patch, because the API server rejects patches from validating webhooks.
    /// A denial contains a message for the user, and lists every field in `status.details.causes`. Warnings are truncated to the
    /// limits of the API server.
    pub fn answer(&self, verdicts: &Verdicts<'_>, phase: AdmissionPhase) -> String {
        let patch = match phase {
            AdmissionPhase::Mutating if verdicts.allowed() && verdicts.patched.is_some() => {
                serde_json::to_string(&verdicts.patch()).ok().map(|text| BASE64_STANDARD.encode(text))
            }
            _ => None,
        };
        let answer = AdmissionReviewResponse {
            api_version: API_VERSION,
            kind: KIND,
            response: Response {
                uid: self.request.uid,
                allowed: verdicts.allowed(),
                status: (!verdicts.allowed()).then(|| self.status(verdicts)),
                patch_type: patch.is_some().then_some("JSONPatch"),
                patch,
                warnings: fit(verdicts.warnings()),
                audit_annotations: Some(verdicts.audit()).filter(|audit| !audit.0.is_empty()),
            },
        };
        // Serializing cannot fail. Even if it did, the API server would treat the empty body as an error, never as an allow.
        serde_json::to_string(&answer).unwrap_or_default()
    }

    fn status(&self, verdicts: &Verdicts<'_>) -> Status<'a> {
        let causes = verdicts.rows.iter().flat_map(|row| {
            row.verdict.denials.iter().map(|denial| Cause {
                reason: denial.control.unwrap_or(row.metadata.name),
                message: denial.message.clone(),
                field: denial.field.to_string(),
            })
        });
        Status {
            status: "Failure",
            message: verdicts.message(),
            reason: "Forbidden",
            code: 403,
            details: Details {
                name: self.request.display_name().unwrap_or_default(),
                kind: self.request.kind.kind,
                causes: causes.collect(),
            },
        }
    }
}

/// Truncates warnings to the limits of the API server: one line of at most 256 characters each, 4,096 characters in total. The
/// last warning counts those that were left out.
fn fit(warnings: Vec<String>) -> Vec<String> {
    const EACH: usize = 256;
    const ALL: usize = 4096;
    let count = warnings.len();
    let mut fitting = Vec::new();
    let mut room = ALL - 64;
    for warning in warnings {
        let line: String = warning.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EACH).collect();
        let length = line.chars().count();
        if length > room {
            break;
        }
        room -= length;
        fitting.push(line);
    }
    if fitting.len() < count {
        fitting.push(format!("pratique: {} more warnings were left out", count - fitting.len()));
    }
    fitting
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionReviewResponse<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// Keys are policy names, because the API server drops keys that contain a slash (`admission/attributes.go`).
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<AuditAnnotations<'a>>,
}

#[derive(Serialize)]
struct Status<'a> {
    status: &'static str,
    message: String,
    reason: &'static str,
    code: u16,
    details: Details<'a>,
}

#[derive(Serialize)]
struct Details<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    kind: &'a str,
    causes: Vec<Cause>,
}

#[derive(Serialize)]
struct Cause {
    reason: &'static str,
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    field: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_error(text: &str) -> String {
        let arena = Arena::new();
        Review::decode(text.as_bytes(), &arena).unwrap_err().to_string()
    }

    #[test]
    fn decode_errors_name_the_field() {
        let review = |request: &str| {
            decode_error(&format!(
                r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{request}}}"#
            ))
        };
        assert!(decode_error("").contains("not readable as JSON"));
        assert!(decode_error("[]").contains("must be an object, is a list"));
        assert!(decode_error(r#"{"apiVersion":"admission.k8s.io/v9"}"#).contains("apiVersion: must be"));
        assert!(review("null").contains("request.operation: must be set"));
        assert!(review(r#"{"operation":"CREATE"}"#).contains("request.uid: must be set"));
        assert!(review(r#"{"operation":"PATCH","uid":"u","kind":{"kind":"Pod"}}"#).contains("is `PATCH`"));
        assert!(review(r#"{"operation":"CREATE","uid":7}"#).contains("request.uid: must be a string"));
    }

    #[test]
    fn warnings_fit_the_limits_of_the_api_server() {
        let many = fit((0..100).map(|i| format!("{i}\n{}", "é".repeat(300))).collect());
        assert!(many.iter().all(|w| w.chars().count() <= 256 && !w.contains('\n')));
        assert!(many.iter().map(|w| w.chars().count()).sum::<usize>() <= 4096);
        assert_eq!(many.last().unwrap(), "pratique: 85 more warnings were left out");
        assert_eq!(fit(vec!["one".to_owned()]), ["one"]);
    }
}
