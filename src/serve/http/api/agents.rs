//! Machines for configuration management, and Puppet's questions. Whoever may open the socket may ask
//! whether a request is to be signed: the challenge in it is what counts.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::answer::{Answer, Asked, Json};
use super::credentials::Operator;
use super::query::Pairs;
use crate::control::Control;
use crate::model::NodeView;
use crate::model::node::{AutosignView, ReportUrls};

type Shared = State<Arc<Control>>;

/// A request for a certificate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    certname: String,
    pem: String,
}

pub(super) async fn nodes(State(control): Shared, mut query: Pairs) -> Answer<Vec<NodeView>> {
    let selection = query.selection()?;
    query.end()?;
    Ok(Json(control.nodes(&selection)?))
}

pub(super) async fn node(State(control): Shared, Path(name): Path<String>) -> Answer<NodeView> {
    Ok(Json(control.node_of(&name)?))
}

pub(super) async fn autosign(
    State(control): Shared,
    Asked(asked): Asked<Request>,
) -> Answer<AutosignView> {
    let signed = control.autosign(&asked.certname, asked.pem.as_bytes());
    Ok(Json(signed.await?))
}

/// The address has a token in it: for operators.
pub(super) async fn report_urls(
    State(control): Shared,
    Extension(who): Extension<Operator>,
) -> Answer<ReportUrls> {
    who.must_operate("see it")?;
    Ok(Json(control.report_urls()))
}
