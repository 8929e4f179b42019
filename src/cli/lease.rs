//! `farrier lease`: addresses and who holds them.

use clap::{Args, Subcommand};

use super::client::pairs;
use super::printer::Column;
use super::selection::SelectArguments;
use super::{Exit, Session, time};
use crate::model::view::LeaseView;
use crate::model::{Refusal, Timestamp};

/// `farrier lease VERB`.
#[derive(Debug, Subcommand)]
pub(super) enum LeaseCommand {
    Ls(LeaseLs),
}

/// List addresses and who holds them.
#[derive(Debug, Args)]
pub struct LeaseLs {
    #[command(flatten)]
    select: SelectArguments,
}

const COLUMNS: &[Column<LeaseView>] = &[
    Column::new("IP", |l| l.ip.to_string()),
    Column::new("MAC", |l| l.mac.to_string()),
    Column::new("SYSTEM", |l| l.system.clone().unwrap_or_default()),
    Column::new("LEASE", |l| l.state.clone()),
    Column::new("EXPIRES", |l| {
        l.expires
            .map(|at| time::relative(at, Timestamp::now()))
            .unwrap_or_default()
    }),
    Column::wide("HOSTNAME", |l| l.hostname.clone().unwrap_or_default()),
];

impl LeaseCommand {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let LeaseCommand::Ls(verb) = self;
        let selection = verb.select.selection()?;
        let leases: Vec<LeaseView> = session.client.get("/v1/leases", &pairs(&selection)).await?;
        session
            .printer
            .list(&leases, COLUMNS, |l| l.ip.to_string(), "no address is held");
        Ok(Exit::Done)
    }
}
