//! `farrier discovered`: machines that were seen and not declared; `farrier adopt` declares one.

use clap::{Args, Subcommand};

use super::client::Pairs;
use super::printer::Column;
use super::{Exit, Session, add, time};
use crate::model::view::DiscoveredView;
use crate::model::{Code, MacAddr, Name, Refusal, Timestamp};

/// `farrier discovered VERB`.
#[derive(Debug, Subcommand)]
pub(super) enum DiscoveredCommand {
    Ls(DiscoveredLs),
    Adopt(Adopt),
}

/// List machines that were seen and are not declared
///
/// There are some only if farrier.toml says `[unknown] action = "discover"`.
#[derive(Debug, Args)]
pub(super) struct DiscoveredLs {}

/// Declare a machine that was seen
///
/// As `farrier add`, but the MAC must be one of `farrier discovered ls`: a mistyped one is refused.
#[derive(Debug, Args)]
pub(super) struct Adopt {
    /// Its MAC in any spelling
    #[arg(value_name = "MAC")]
    mac: MacAddr,
    /// Its name, which is also its host name
    #[arg(value_name = "NAME")]
    name: Name,
    /// Its profile (the one under [defaults] if not given)
    #[arg(value_name = "PROFILE")]
    profile: Option<String>,
    /// Further values: ip=10.77.0.11 tags=web,rack12 vars.role=web
    #[arg(value_name = "KEY=VALUE")]
    changes: Vec<String>,
}

const COLUMNS: &[Column<DiscoveredView>] = &[
    Column::new("MAC", |m| m.mac.to_string()),
    Column::new("FIRMWARE", |m| m.firmware.clone().unwrap_or_default()),
    Column::new("SEEN", |m| time::relative(m.last_seen, Timestamp::now())),
    Column::new("TIMES", |m| m.times.to_string()),
    Column::new("HOSTNAME", |m| m.hostname.clone().unwrap_or_default()),
    Column::wide("RELAY", |m| {
        m.relay.map(|ip| ip.to_string()).unwrap_or_default()
    }),
    Column::wide("FIRST", |m| time::stamp(m.first_seen)),
    Column::wide("UUID", |m| m.uuid.clone().unwrap_or_default()),
];

impl DiscoveredCommand {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        match self {
            DiscoveredCommand::Ls(DiscoveredLs {}) => ls(session).await,
            DiscoveredCommand::Adopt(verb) => verb.run(session).await,
        }
    }
}

async fn seen(session: &Session) -> Result<Vec<DiscoveredView>, Refusal> {
    session.client.get("/v1/discovered", &Pairs::new()).await
}

async fn ls(session: &Session) -> Result<Exit, Refusal> {
    session.printer.list(
        &seen(session).await?,
        COLUMNS,
        |m| m.mac.to_string(),
        "no machine was seen that is not declared",
    );
    Ok(Exit::Done)
}

impl Adopt {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        if seen(session).await?.iter().all(|m| m.mac != self.mac) {
            let message = format!("no machine with {} was seen that is not declared", self.mac);
            return Err(Refusal::new(Code::NotFound, message).help(format!(
                "farrier discovered ls; or declare it unseen: farrier add {} {}",
                self.name, self.mac
            )));
        }
        let verb = add::Add::of(self.name, self.mac, self.profile, self.changes);
        verb.run(session).await
    }
}
