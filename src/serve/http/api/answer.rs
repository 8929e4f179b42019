//! JSON in and out.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::{Code, Refusal};

/// A value or a refusal.
pub(super) type Answer<T> = Result<Json<T>, No>;

/// A value as JSON.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(mut body) => {
                body.push(b'\n');
                json(StatusCode::OK, body)
            }
            Err(error) => No(Refusal::failed(format!(
                "the answer cannot be written: {error}"
            )))
            .into_response(),
        }
    }
}

/// A refusal as JSON, with the status of its code.
#[derive(Debug)]
pub(super) struct No(pub(super) Refusal);

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> No {
        No(refusal)
    }
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = serde_json::to_vec(&self.0).unwrap_or_default();
        body.push(b'\n');
        json(status, body)
    }
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A request's body, read as JSON whatever its content type says; a refusal names what is wrong in
/// it. serde_json refuses to nest deeper than 128.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Asked<T> {
    type Rejection = No;

    async fn from_request(request: Request, state: &S) -> Result<Self, No> {
        let bytes = Bytes::from_request(request, state).await.map_err(|e| {
            No(Refusal::new(
                Code::Usage,
                format!("the request's body cannot be read: {}", e.body_text()),
            ))
        })?;
        serde_json::from_slice(&bytes).map(Asked).map_err(|e| {
            No(Refusal::new(
                Code::Usage,
                format!("the request cannot be read: {e}"),
            ))
        })
    }
}

/// Nothing is served there.
pub(super) async fn no_such_path(uri: Uri) -> No {
    No(Refusal::new(
        Code::NotFound,
        format!("the admin plane has no path `{}`", uri.path()),
    ))
}

/// Something is served there, by another method.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    let refusal = Refusal::new(
        Code::Usage,
        format!("`{}` does not take {method}", uri.path()),
    );
    let mut response = No(refusal).into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}
