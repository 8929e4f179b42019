//! `farrier ls`: list systems.

use clap::Args;

use super::client::pairs;
use super::printer::Column;
use super::selection::SelectArguments;
use super::{Exit, Session, time};
use crate::model::view::SystemView;
use crate::model::{Refusal, Timestamp};

/// List systems.
#[derive(Debug, Args)]
pub(super) struct Ls {
    #[command(flatten)]
    select: SelectArguments,
}

const COLUMNS: &[Column<SystemView>] = &[
    Column::new("NAME", |s| s.name.clone()),
    Column::new("PHASE", |s| s.phase.to_string()),
    Column::new("FOR", for_how_long),
    Column::new("STAGE", |s| {
        s.build.as_ref().and_then(|b| b.step()).unwrap_or_default()
    }),
    Column::new("ONCE", |s| {
        let once = s.pending_once();
        once.map(|b| format!("{} {}", b.profile, b.phase))
            .unwrap_or_default()
    }),
    Column::new("PROFILE", |s| s.profile.clone()),
    Column::new("IP", |s| s.ip.map(|ip| ip.to_string()).unwrap_or_default()),
    Column::new("MAC", first_mac),
    Column::new("TAGS", |s| s.tags.join(",")),
    Column::wide("BUILD", |s| {
        s.build
            .as_ref()
            .map(|b| b.number.to_string())
            .unwrap_or_default()
    }),
    Column::wide("BOOTS", |s| {
        s.build
            .as_ref()
            .map(|b| format!("{}/{}", b.attempts[0], b.attempts[1]))
            .unwrap_or_default()
    }),
    Column::wide("EXPECTED", |s| {
        s.build
            .as_ref()
            .and_then(|b| b.expected_by)
            .map(|at| time::relative(at, Timestamp::now()))
            .unwrap_or_default()
    }),
    Column::wide("DISK", |s| {
        s.build
            .as_ref()
            .and_then(|b| b.disk.clone())
            .unwrap_or_default()
    }),
    Column::wide("PROTECTED", |s| {
        if s.protected { "yes" } else { "no" }.to_string()
    }),
    Column::new("PROBLEM", problem),
];

impl Ls {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let selection = self.select.selection()?;
        let all = selection.is_empty();
        let systems: Vec<SystemView> = session
            .client
            .get("/v1/systems", &pairs(&selection))
            .await?;
        session.printer.list(
            &systems,
            COLUMNS,
            |s| s.name.clone(),
            if all {
                "no system is declared; farrier add NAME MAC PROFILE"
            } else {
                "no system is selected"
            },
        );
        Ok(Exit::Done)
    }
}

fn first_mac(system: &SystemView) -> String {
    match system.macs.as_slice() {
        [] => String::new(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    }
}

fn for_how_long(system: &SystemView) -> String {
    system
        .build
        .as_ref()
        .map(|b| time::human(time::between(b.since, Timestamp::now())))
        .unwrap_or_default()
}

/// Why the machine needs a person, if it does.
fn problem(system: &SystemView) -> String {
    system
        .broken
        .clone()
        .or_else(|| system.build.as_ref().and_then(|b| b.reason.clone()))
        .unwrap_or_default()
}
