//! `farrier doctor`: what would stop a machine from booting, and the fix.

mod agents;
mod clock;
mod finding;
mod host;
mod network;
mod ports;
mod site;

use clap::Args;

use super::client::Pairs;
use super::{Exit, Session, progress};
use crate::model::Refusal;
use crate::model::view::{DistroView, StatusView};
use finding::{Finding, Level};

/// Look for what would stop a machine from booting, and say the fix.
///
/// Looks at interfaces, ports, other DHCP servers, missing artefacts, the clock, limits and rights.
/// Changes nothing. Exit 1 if something stops machines.
#[derive(Debug, Args)]
pub(in crate::cli) struct Doctor {
    /// Exit 2 if anything is worth a look
    #[arg(long)]
    strict: bool,
}

impl Doctor {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let status: Option<StatusView> = session.client.get("/v1/status", &Pairs::new()).await.ok();
        let distros: Option<Vec<DistroView>> = match &status {
            Some(_) => session.client.get("/v1/distros", &Pairs::new()).await.ok(),
            None => None,
        };
        let spinner = progress::spinner(&session.printer, "looking".to_string());
        let mut findings = vec![host::server(status.as_ref())];
        findings.extend(host::alarms(status.as_ref()));
        findings.extend(host::all(&session.place, status.is_some()));
        let (site, found) = site::load(&session.place);
        findings.extend(found);
        if let Some(site) = &site {
            findings.extend(network::interfaces(site));
            findings.extend(ports::all(site, status.as_ref()));
            findings.extend(network::other_servers(site).await);
            findings.extend(agents::all(site));
            findings.extend(site::artefacts(site, &session.place, distros.as_deref()));
        }
        spinner.finish_and_clear();
        print(session, &findings);
        let any = |level| findings.iter().any(|f| f.level == level);
        Ok(match (any(Level::Fail), any(Level::Warn)) {
            (true, _) => Exit::Failed,
            (false, true) if self.strict => Exit::Differs,
            _ => Exit::Done,
        })
    }
}

fn print(session: &Session, findings: &[Finding]) {
    session.printer.list_with(
        findings,
        |f| f.what.to_string(),
        |colour| findings.iter().map(|f| f.line(colour)).collect(),
    );
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    let (warnings, failures) = (count(Level::Warn), count(Level::Fail));
    session.printer.talk(&match (failures, warnings) {
        (0, 0) => "all is well".to_string(),
        (0, w) => format!("{w} to look at, nothing that stops a machine"),
        (f, w) => format!("{f} that stop machines, {w} to look at"),
    });
}
