//! `farrier serve`: opens every door and answers machines until it is told to stop.

use clap::Args;

use super::{Exit, Session};
use crate::model::Refusal;

/// Answer machines: DHCP, TFTP, HTTP and this program's own requests.
///
/// Prints one line on stdout when every door is open, and tells systemd. Runs in the foreground.
#[derive(Debug, Args)]
pub(super) struct Serve {}

impl Serve {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        super::server::run(&session.place, &session.printer).await?;
        Ok(Exit::Done)
    }
}
