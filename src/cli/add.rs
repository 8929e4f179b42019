//! `farrier add`: declare a system.

use clap::Args;

use super::{Exit, Session, change, edit};
use crate::model::command::FlagReport;
use crate::model::{Code, EditRequest, FlagRequest, MacAddr, Name, Purpose, Refusal, Selection};

/// Declare a system.
///
/// Writes its entry to systems.toml, keeping comments and order. Nothing is installed until it is
/// flagged with rebuild.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name, which is also its host name
    #[arg(value_name = "NAME")]
    name: Name,
    /// Its MAC in any spelling; several are joined by commas
    #[arg(value_name = "MAC", value_parser = macs)]
    macs: Macs,
    /// Its profile (the one under [defaults] if not given)
    #[arg(value_name = "PROFILE")]
    profile: Option<String>,
    /// Further values: ip=10.77.0.11 tags=web,rack12 vars.role=web
    #[arg(value_name = "KEY=VALUE")]
    changes: Vec<String>,
    /// Flag it for its first build at once
    #[arg(long)]
    rebuild: bool,
}

/// Hardware addresses joined by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Macs(Vec<MacAddr>);

fn macs(text: &str) -> Result<Macs, crate::model::mac::MacError> {
    let macs: Result<Vec<MacAddr>, _> = text.split(',').map(str::parse).collect();
    macs.map(Macs)
}

impl Add {
    /// For a machine that is known by one hardware address.
    pub(super) fn of(
        name: Name,
        mac: MacAddr,
        profile: Option<String>,
        changes: Vec<String>,
    ) -> Add {
        Add {
            name,
            macs: Macs(vec![mac]),
            profile,
            changes,
            rebuild: false,
        }
    }

    /// Runs it.
    pub(super) async fn run(mut self, session: &Session) -> Result<Exit, Refusal> {
        if let Some(first) = self.profile.take_if(|p| p.contains('=')) {
            self.changes.insert(0, first);
        }
        let profile = self.profile.map(|p| p.parse::<Name>()).transpose();
        let request = EditRequest::Add {
            name: self.name.clone(),
            macs: self.macs.0,
            profile: profile.map_err(|e| Refusal::new(Code::Usage, e.to_string()))?,
            changes: change::parse_all(&self.changes)?,
        };
        if self.rebuild && !session.has_server().await {
            return Err(Refusal::new(
                Code::Unreachable,
                "`--rebuild` needs a server, and none runs here; nothing was changed",
            )
            .help("start one with `farrier serve`, or leave `--rebuild` away"));
        }
        let report = edit::make(session, &request).await?;
        edit::print(session, &report);
        let name = &self.name;
        if !self.rebuild {
            let live = report.systems.iter().any(|s| s.phase.is_some());
            session.printer.talk(&match live {
                true => format!(
                    "`{name}` boots its own disk until it is flagged\nfarrier rebuild {name}"
                ),
                false => "farrier serve".to_string(),
            });
            return Ok(Exit::Done);
        }
        let flag = FlagRequest {
            selection: Selection::one(name.as_str()),
            purpose: Purpose::Install,
            profile: None,
            expect: Some(1),
            expires: None,
            attempts: None,
            retry_after_write: None,
            dry_run: false,
            agreed: None,
        };
        let flagged: FlagReport = session.client.post("/v1/flag", &flag).await?;
        if let Some(refusal) = flagged.refusal() {
            return Err(refusal);
        }
        session.printer.talk(&format!(
            "`{name}` is installed at its next network boot; switch it on\nfarrier watch {name}"
        ));
        Ok(Exit::Done)
    }
}
