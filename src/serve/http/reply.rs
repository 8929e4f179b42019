//! Answers: every one has a `Content-Length`, none has an empty header, none redirects.

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;

use super::body::{AtEnd, Part, Source};
use super::range::{Wanted, wanted};
use crate::control::TellError;
use crate::model::Digest;

/// Plain text, which is what scripts and installers read.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// A short answer.
pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    bytes(status, TEXT, text.into())
}

/// `ok`, to a report that was taken down.
pub(super) fn ok() -> Response {
    text(StatusCode::OK, "ok\n")
}

/// The one answer to a wrong path, a wrong token, another machine's build, and a phase that is
/// over: nothing can be learnt from it.
pub(super) fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "not found\n")
}

/// The request came by a method that this path does not have.
pub(super) fn wrong_method(allow: &'static str) -> Response {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    set(&mut response, axum::http::header::ALLOW, allow);
    response
}

/// What a machine reads when an event was not accepted. 409: the build's state does not allow it.
/// 503: it could not be stored, ask again.
pub(super) fn not_told(error: &TellError) -> Response {
    match error {
        TellError::Refused(refusal) => text(StatusCode::CONFLICT, format!("{refusal}\n")),
        TellError::Store(_) | TellError::Stopped => {
            tracing::error!(%error, "a machine was told to report again");
            let mut response = text(
                StatusCode::SERVICE_UNAVAILABLE,
                "this could not be stored; try again\n",
            );
            set(&mut response, RETRY_AFTER, "5");
            response
        }
    }
}

/// A whole answer from memory, not to be kept by anyone.
pub(super) fn bytes(status: StatusCode, content_type: &str, bytes: Bytes) -> Response {
    let length = bytes.len();
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, content_type);
    set(&mut response, CACHE_CONTROL, "no-store");
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// A file, or the part of it that the request wants.
pub(super) struct Served {
    pub(super) source: Source,
    pub(super) size: u64,
    /// A strong entity tag, quotes included; none means that parts cannot be asked for safely.
    pub(super) etag: Option<String>,
    pub(super) content_type: String,
    /// Called when the whole file (not a part) has gone out.
    pub(super) at_end: Option<AtEnd>,
}

/// The strong entity tag of a digest.
pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

impl Served {
    /// The answer to a request with these headers. For HEAD, hyper leaves the body out.
    pub(super) fn reply(self, headers: &HeaderMap) -> Response {
        let wanted = match &self.etag {
            Some(etag) => wanted(headers, self.size, etag),
            None => wanted(headers, self.size, ""),
        };
        let size = self.size;
        let (status, from, to) = match wanted {
            Wanted::Whole => (StatusCode::OK, 0, size),
            Wanted::Part(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
            Wanted::Outside => {
                let mut response = text(StatusCode::RANGE_NOT_SATISFIABLE, "no such range\n");
                set(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
                return response;
            }
            Wanted::Changed => {
                return text(StatusCode::PRECONDITION_FAILED, "it is another file now\n");
            }
            Wanted::Known => (StatusCode::NOT_MODIFIED, 0, 0),
        };
        let whole = from == 0 && to == size;
        let body = Part::new(self.source, from, to, self.at_end.filter(|_| whole));
        let mut response = Response::new(Body::new(body));
        *response.status_mut() = status;
        set(&mut response, CONTENT_TYPE, &self.content_type);
        set(&mut response, ACCEPT_RANGES, "bytes");
        if let Some(etag) = &self.etag {
            set(&mut response, ETAG, etag);
        }
        if status == StatusCode::PARTIAL_CONTENT {
            let range = format!("bytes {from}-{}/{size}", to - 1);
            set(&mut response, CONTENT_RANGE, &range);
        }
        if status != StatusCode::NOT_MODIFIED {
            response
                .headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from(to - from));
        }
        response
    }
}

/// Sets a header; a value that cannot stand in one is left out, since an empty header hangs EDK2.
pub(super) fn set(response: &mut Response, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) if !value.is_empty() => {
            response.headers_mut().insert(name, value);
        }
        _ => {}
    }
}
