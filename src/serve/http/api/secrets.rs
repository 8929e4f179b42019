//! Secrets by name. A value comes in and never goes out.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::answer::{Answer, Asked, Json};
use super::credentials::Operator;
use crate::control::Control;
use crate::model::view::SecretView;
use crate::model::{Code, Refusal, SecretName};

type Shared = State<Arc<Control>>;
type Who = Extension<Operator>;

/// A value to set. It has no `Debug` that shows it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Value {
    #[serde(deserialize_with = "wiped")]
    value: Zeroizing<String>,
}

fn wiped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

pub(super) async fn list(State(control): Shared) -> Json<Vec<SecretView>> {
    Json(control.secrets())
}

pub(super) async fn set(
    State(control): Shared,
    Extension(who): Who,
    Path(name): Path<String>,
    Asked(asked): Asked<Value>,
) -> Answer<SecretView> {
    let name = secret_name(&name)?;
    Ok(Json(
        control.set_secret(&name, &asked.value, &who.name).await?,
    ))
}

/// Answers the secrets that are left.
pub(super) async fn remove(
    State(control): Shared,
    Extension(who): Who,
    Path(name): Path<String>,
) -> Answer<Vec<SecretView>> {
    control
        .remove_secret(&secret_name(&name)?, &who.name)
        .await?;
    Ok(Json(control.secrets()))
}

fn secret_name(text: &str) -> Result<SecretName, Refusal> {
    text.parse()
        .map_err(|e: crate::model::secret::SecretNameError| {
            Refusal::new(Code::Usage, e.to_string())
        })
}
