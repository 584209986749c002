//! HTTP handling of reviews: header checks, reading the body, timeouts and errors.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use policy_core::path::excerpt;
use policy_core::review::ReviewError;

use super::BODY_LIMIT;
use super::memory_limit::{MemoryLimit, MemoryReservation};

/// The timeout for requests that do not specify one; the same as the API server's default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum `timeoutSeconds` of a webhook.
const MAX_TIMEOUT: Duration = Duration::from_secs(30);

/// An HTTP error with a reason, for requests that cannot be answered with a verdict.
#[derive(Debug)]
pub(super) struct HttpError {
    pub(super) status: StatusCode,
    pub(super) reason: String,
}

impl HttpError {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        HttpError { status, reason: reason.into() }
    }

    pub(super) fn too_large() -> Self {
        HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the review is larger than {BODY_LIMIT} bytes"))
    }

    /// An API server retries after a second, within its deadline (client-go, `rest/with_retry.go`).
    pub(super) fn overloaded() -> Self {
        HttpError::new(StatusCode::TOO_MANY_REQUESTS, "too many reviews are waiting: retry later")
    }

    /// The caller is slow, or more requests arrive than can be read.
    pub(super) fn body_timeout(timeout: Duration) -> Self {
        let reason = format!("the review did not arrive within {timeout:?}");
        HttpError::new(StatusCode::REQUEST_TIMEOUT, reason)
    }

    pub(super) fn late(timeout: Duration) -> Self {
        HttpError::new(StatusCode::GATEWAY_TIMEOUT, format!("not answered within {timeout:?}"))
    }

    pub(super) fn unreadable(error: ReviewError) -> Self {
        HttpError::new(StatusCode::BAD_REQUEST, error.to_string())
    }

    /// With `failurePolicy: Ignore`, an API server continues without the patch, and the unpatched object is then validated.
    pub(super) fn faulty(fault: &str) -> Self {
        HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, fault)
    }

    pub(super) fn panicked() -> Self {
        HttpError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "a bug in pratique: the request could not be evaluated",
        )
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let text = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        let mut response = (self.status, text, self.reason + "\n").into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Rejects requests by their headers, without reading the body.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), HttpError> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let media_type = header(header::CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case("application/json") {
        let reason = format!("the content type must be application/json, is `{}`", excerpt(media_type));
        return Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    if let Some(encoding) = header(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        let reason = format!("the body must not be encoded, is `{}`", excerpt(encoding));
        return Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    match header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > BODY_LIMIT as u64 => Err(HttpError::too_large()),
        _ => Ok(()),
    }
}

/// Reads the body up to the limit. A body that exceeds the memory limit is read to its end but discarded, because a caller that
/// cannot finish sending may not read the response.
pub(super) async fn read_body(
    mut body: Body,
    memory_limit: &MemoryLimit,
) -> Result<(BytesMut, MemoryReservation), HttpError> {
    // Allocate the announced size at once, because growing would copy the buffer. Bytes that are announced but never sent use no
    // physical memory, because those pages are not written.
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let bytes = BytesMut::with_capacity(announced.unwrap_or_default().min(BODY_LIMIT));
    let (mut size, mut kept) = (0, Some((bytes, memory_limit.reservation())));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            HttpError::new(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        size += data.len();
        if size > BODY_LIMIT {
            return Err(HttpError::too_large());
        }
        kept = kept.and_then(|(mut bytes, mut reservation)| {
            reservation.grow(data.len()).then(|| {
                bytes.extend_from_slice(&data);
                (bytes, reservation)
            })
        });
    }
    kept.ok_or_else(HttpError::overloaded)
}

/// The timeout that the API server appends to the URL: `?timeout=10s`, a Go duration in whole seconds.
pub(super) fn timeout(query: Option<&str>) -> Duration {
    let given = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("timeout="));
    let (number, unit) = match given
        .map(|text| text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())))
    {
        Some(parts) => parts,
        None => return DEFAULT_TIMEOUT,
    };
    match (number.parse(), unit) {
        (Ok(seconds @ 1..), "s") => Duration::from_secs(seconds).min(MAX_TIMEOUT),
        (Ok(milliseconds @ 1..), "ms") => Duration::from_millis(milliseconds).min(MAX_TIMEOUT),
        _ => DEFAULT_TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_servers_timeout_is_read() {
        assert_eq!(timeout(Some("timeout=5s")), Duration::from_secs(5));
        assert_eq!(timeout(Some("a=b&timeout=250ms")), Duration::from_millis(250));
        assert_eq!(timeout(Some("timeout=99999s")), MAX_TIMEOUT);
        for default in
            [None, Some(""), Some("timeout="), Some("timeout=0s"), Some("timeout=1h"), Some("timeout=-1s")]
        {
            assert_eq!(timeout(default), DEFAULT_TIMEOUT);
        }
    }
}
