//! Bundles of logs.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::answer::{Answer, Json, No};
use super::credentials::Operator;
use super::query::Pairs;
use crate::control::Control;
use crate::model::Bundle;

/// Those of a system.
pub(super) async fn list(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
) -> Answer<Vec<Bundle>> {
    Ok(Json(control.bundles(&name).await?))
}

/// The bytes of one, with what it is in a header. An installer's logs may tell more than its server
/// would, so they are for operators.
pub(super) async fn one(
    State(control): State<Arc<Control>>,
    Extension(who): Extension<Operator>,
    Path(name): Path<String>,
    mut query: Pairs,
) -> Result<Response, No> {
    let build = query.one("build")?;
    query.end()?;
    who.must_operate("read the logs that installers send")?;
    let (bundle, bytes) = control.bundle(&name, build).await?;
    let file = bundle.file_name();
    Ok((
        [
            (CONTENT_TYPE.as_str(), "application/octet-stream"),
            ("Farrier-File", &file),
        ],
        bytes,
    )
        .into_response())
}
