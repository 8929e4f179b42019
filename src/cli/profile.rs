//! `farrier profile`: what systems can be made into.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::printer::Column;
use super::{Exit, Session, offline};
use crate::model::{Name, ProfileKind, Refusal};

/// `farrier profile VERB`.
#[derive(Debug, Subcommand)]
pub(super) enum ProfileCommand {
    Ls(ProfileLs),
}

/// List profiles as the files declare them.
#[derive(Debug, Args)]
pub struct ProfileLs {}

/// A profile as `profile ls` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ProfileView {
    name: Name,
    kind: ProfileKind,
    distro: Option<Name>,
    systems: usize,
}

const COLUMNS: &[Column<ProfileView>] = &[
    Column::new("NAME", |p| p.name.to_string()),
    Column::new("KIND", |p| {
        serde_json::to_value(p.kind)
            .ok()
            .and_then(|v| v.as_str().map(str::to_string))
            .unwrap_or_default()
    }),
    Column::new("DISTRO", |p| {
        p.distro.as_ref().map(|d| d.to_string()).unwrap_or_default()
    }),
    Column::new("SYSTEMS", |p| p.systems.to_string()),
];

impl ProfileCommand {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let ProfileCommand::Ls(_) = self;
        let site = offline::load(&session.place)?.site;
        let mut used: BTreeMap<&Name, usize> = BTreeMap::new();
        for system in site.systems.values() {
            *used.entry(&system.profile).or_default() += 1;
        }
        let views: Vec<ProfileView> = site
            .profiles
            .values()
            .map(|p| ProfileView {
                name: p.name.clone(),
                kind: p.kind,
                distro: p.distro.clone(),
                systems: used.get(&p.name).copied().unwrap_or(0),
            })
            .collect();
        session.printer.list(
            &views,
            COLUMNS,
            |p| p.name.to_string(),
            "no profile is declared",
        );
        Ok(Exit::Done)
    }
}
