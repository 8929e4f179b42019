//! What changes something. `credentials::guard` has let only operators come this far.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::answer::{Answer, Asked, Json, No};
use super::credentials::Operator;
use crate::control::Control;
use crate::model::command::{
    CancelReport, CancelRequest, Change, EditReport, FlagReport, ReloadReport,
};
use crate::model::{Code, EditRequest, FlagRequest, MacAddr, Name, Purpose, Refusal, Selection};

type Shared = State<Arc<Control>>;
type Who = Extension<Operator>;

/// A new system.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    name: Name,
    macs: Vec<MacAddr>,
    #[serde(default)]
    profile: Option<Name>,
    #[serde(default)]
    changes: Vec<Change>,
}

/// Changes to one system.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Changes {
    changes: Vec<Change>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn add(
    State(control): Shared,
    Extension(who): Who,
    Asked(new): Asked<New>,
) -> Answer<EditReport> {
    let request = EditRequest::Add {
        name: new.name,
        macs: new.macs,
        profile: new.profile,
        changes: new.changes,
    };
    made(&control, &who, &request).await
}

pub(super) async fn set(
    State(control): Shared,
    Extension(who): Who,
    Path(name): Path<String>,
    Asked(asked): Asked<Changes>,
) -> Answer<EditReport> {
    let request = EditRequest::Set {
        selection: one(&name)?,
        expect: Some(1),
        changes: asked.changes,
        dry_run: asked.dry_run,
    };
    made(&control, &who, &request).await
}

pub(super) async fn remove(
    State(control): Shared,
    Extension(who): Who,
    Path(name): Path<String>,
) -> Answer<EditReport> {
    let request = EditRequest::Remove {
        selection: one(&name)?,
        expect: Some(1),
        dry_run: false,
    };
    made(&control, &who, &request).await
}

pub(super) async fn edit(
    State(control): Shared,
    Extension(who): Who,
    Asked(request): Asked<EditRequest>,
) -> Answer<EditReport> {
    made(&control, &who, &request).await
}

async fn made(control: &Control, who: &Operator, request: &EditRequest) -> Answer<EditReport> {
    Ok(Json(control.edit(request, &who.name).await?))
}

/// A path names one system: a name or a MAC, no set and no glob.
fn one(name: &str) -> Result<Selection, Refusal> {
    let selection = Selection::one(name);
    if selection.names_one() {
        Ok(selection)
    } else {
        Err(Refusal::new(
            Code::Usage,
            format!("`{name}` is no system's name and no MAC"),
        ))
    }
}

pub(super) async fn flag(
    State(control): Shared,
    Extension(who): Who,
    Asked(request): Asked<FlagRequest>,
) -> Answer<FlagReport> {
    flagged(&control, &who, &request).await
}

pub(super) async fn rebuild(
    state: Shared,
    who: Who,
    Asked(mut body): Asked<serde_json::Value>,
) -> Answer<FlagReport> {
    purpose(&mut body, Purpose::Install)?;
    flag(state, who, Asked(read(body)?)).await
}

pub(super) async fn boot(
    state: Shared,
    who: Who,
    Asked(mut body): Asked<serde_json::Value>,
) -> Answer<FlagReport> {
    purpose(&mut body, Purpose::Once)?;
    flag(state, who, Asked(read(body)?)).await
}

/// Fills the purpose in that the path names.
fn purpose(body: &mut serde_json::Value, purpose: Purpose) -> Result<(), Refusal> {
    let object = body
        .as_object_mut()
        .ok_or_else(|| Refusal::new(Code::Usage, "the request is no JSON object"))?;
    let word = serde_json::to_value(purpose).unwrap_or_default();
    object.insert("purpose".to_string(), word);
    Ok(())
}

fn read(body: serde_json::Value) -> Result<FlagRequest, Refusal> {
    serde_json::from_value(body)
        .map_err(|e| Refusal::new(Code::Usage, format!("the request cannot be read: {e}")))
}

/// A refused machine makes a refused request, unless only a preview was asked for, or some machines
/// were flagged: then the report says which.
async fn flagged(control: &Control, who: &Operator, request: &FlagRequest) -> Answer<FlagReport> {
    let report = control.flag(request, &who.name).await?;
    match report.refusal() {
        Some(refusal) if !report.dry_run && refusal.code != Code::PartlyFailed => Err(No(refusal)),
        _ => Ok(Json(report)),
    }
}

pub(super) async fn cancel(
    State(control): Shared,
    Extension(who): Who,
    Asked(request): Asked<CancelRequest>,
) -> Answer<CancelReport> {
    let report = control.cancel(&request, &who.name).await?;
    match report.refusal() {
        Some(refusal) if !report.dry_run && refusal.code != Code::PartlyFailed => Err(No(refusal)),
        _ => Ok(Json(report)),
    }
}

pub(super) async fn reload(State(control): Shared, Extension(who): Who) -> Answer<ReloadReport> {
    Ok(Json(control.reload(&who.name).await?))
}
