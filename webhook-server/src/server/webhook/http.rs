//! The HTTP around a review: what is refused before it is read, how long an answer may take, and errors.

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

/// How long a call may take that does not say; the API server's own default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that an API server can be told to wait.
const MAX_TIMEOUT: Duration = Duration::from_secs(30);

/// An HTTP error with a reason: what goes wrong in the wire is no verdict.
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

    /// An API server asks again after a second, within its deadline (client-go, `rest/with_retry.go`).
    pub(super) fn no_room() -> Self {
        HttpError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "more reviews are waiting than there is room for: ask again",
        )
    }

    /// Its caller is slow, or it comes with more than can be read.
    pub(super) fn not_arrived(timeout: Duration) -> Self {
        let reason = format!("the review did not arrive within {timeout:?}");
        HttpError::new(StatusCode::REQUEST_TIMEOUT, reason)
    }

    pub(super) fn late(timeout: Duration) -> Self {
        HttpError::new(StatusCode::GATEWAY_TIMEOUT, format!("not answered within {timeout:?}"))
    }

    pub(super) fn unreadable(error: ReviewError) -> Self {
        HttpError::new(StatusCode::BAD_REQUEST, error.to_string())
    }

    /// An API server that is told to ignore failures goes on without the patch; the object is judged as it is then.
    pub(super) fn faulty(fault: &str) -> Self {
        HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, fault)
    }

    pub(super) fn panicked() -> Self {
        HttpError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "a bug in pratique: the request could not be judged",
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

/// Refuses by its headers what need not be read.
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

/// Reads the body, and stops at the limit. What finds no room is read to its end, for a caller whose sending is cut off may not
/// read the answer, but not kept.
pub(super) async fn read_body(
    mut body: Body,
    room: &MemoryLimit,
) -> Result<(BytesMut, MemoryReservation), HttpError> {
    // In one piece: what grows is moved, and for a moment there twice. What is announced and does not come takes no memory, for
    // nothing is written there.
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let bytes = BytesMut::with_capacity(announced.unwrap_or_default().min(BODY_LIMIT));
    let (mut size, mut kept) = (0, Some((bytes, room.share())));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            HttpError::new(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        size += data.len();
        if size > BODY_LIMIT {
            return Err(HttpError::too_large());
        }
        kept = kept.and_then(|(mut bytes, mut share)| {
            share.grow(data.len()).then(|| {
                bytes.extend_from_slice(&data);
                (bytes, share)
            })
        });
    }
    kept.ok_or_else(HttpError::no_room)
}

/// What the API server appends to the URL: `?timeout=10s`, a Go duration of whole seconds.
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
