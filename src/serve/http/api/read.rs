//! What is only read.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};

use super::answer::{Answer, Json};
use super::credentials::Operator;
use super::query::Pairs;
use crate::control::Control;
use crate::model::command::{RenderRequest, RenderView, RevisionView, WhyRequest};
use crate::model::logs::{LogPage, LogQuery};
use crate::model::view::{
    DiscoveredView, DistroView, LeaseView, OriginView, ShowView, StatusView, SystemView, WhyView,
};
use crate::model::{ClientStage, Code, Refusal};

type Shared = State<Arc<Control>>;
type Who = Extension<Operator>;

pub(super) async fn status(State(control): Shared) -> Json<StatusView> {
    Json(control.status())
}

pub(super) async fn systems(State(control): Shared, mut query: Pairs) -> Answer<Vec<SystemView>> {
    let selection = query.selection()?;
    query.end()?;
    Ok(Json(control.list(&selection)?))
}

pub(super) async fn show(State(control): Shared, Path(name): Path<String>) -> Answer<ShowView> {
    Ok(Json(control.show(&name).await?))
}

pub(super) async fn origins(
    State(control): Shared,
    Path(name): Path<String>,
) -> Answer<Vec<OriginView>> {
    Ok(Json(control.origins(&name).await?))
}

/// What a machine is sent is made of the site's files, and shows what they say.
pub(super) async fn render(
    State(control): Shared,
    Extension(who): Who,
    Path(name): Path<String>,
    mut query: Pairs,
) -> Answer<RenderView> {
    who.must_operate("read what machines are sent")?;
    let request = RenderRequest {
        system: name,
        revision: query.one("revision")?,
        arch: query.one("arch")?,
        profile: query.one("profile")?,
        next: query.one("next")?.unwrap_or(false),
    };
    query.end()?;
    Ok(Json(control.render(&request).await?))
}

pub(super) async fn logs(
    State(control): Shared,
    Path(name): Path<String>,
    mut query: Pairs,
) -> Answer<LogPage> {
    let wanted = LogQuery {
        build: query.one("build")?,
        after: query.one("after")?,
        grep: query.one("grep")?,
        limit: query.one("limit")?,
    };
    query.end()?;
    Ok(Json(control.logs(&name, &wanted).await?))
}

pub(super) async fn why(
    State(control): Shared,
    Path(subject): Path<String>,
    mut query: Pairs,
) -> Answer<WhyView> {
    let request = WhyRequest {
        subject,
        arch: query.one("arch")?,
        stage: query
            .one::<String>("stage")?
            .map(|s| stage(&s))
            .transpose()?,
    };
    query.end()?;
    Ok(Json(control.why(&request).await?))
}

/// A program of the boot chain by the word of the JSON contract.
fn stage(word: &str) -> Result<ClientStage, Refusal> {
    serde_json::from_value(serde_json::Value::from(word)).map_err(|_| {
        Refusal::new(
            Code::Usage,
            format!("`{word}` is none of rom, ipxe, grub, pxelinux, os"),
        )
    })
}

pub(super) async fn leases(State(control): Shared, mut query: Pairs) -> Answer<Vec<LeaseView>> {
    let selection = query.selection()?;
    query.end()?;
    Ok(Json(control.lease_views(&selection)?))
}

pub(super) async fn discovered(State(control): Shared) -> Json<Vec<DiscoveredView>> {
    Json(control.discovered())
}

pub(super) async fn distros(State(control): Shared) -> Json<Vec<DistroView>> {
    Json(control.distros().await)
}

pub(super) async fn revisions(State(control): Shared) -> Answer<Vec<RevisionView>> {
    Ok(Json(control.revisions().await?))
}

/// With every file of the site, whatever mode that has.
pub(super) async fn revision(
    State(control): Shared,
    Extension(who): Who,
    Path(which): Path<String>,
) -> Answer<RevisionView> {
    who.must_operate("read the site's files")?;
    Ok(Json(control.revision(&which).await?))
}
