//! `farrier rebuild`: flag systems for a new build.

use std::time::Duration;

use clap::Args;

use super::agree::AgreeArguments;
use super::selection::SelectArguments;
use super::{Exit, Session, flag, time};
use crate::model::{FlagRequest, Purpose, Refusal};

/// Flag systems: the next network boot installs them.
///
/// Prints what would be destroyed and asks. Refuses an empty selection, a protected system, a build
/// under way and a count that does not match.
#[derive(Debug, Args)]
pub(super) struct Rebuild {
    #[command(flatten)]
    select: SelectArguments,
    #[command(flatten)]
    agree: AgreeArguments,
    /// Boots of the installer allowed (the profile's if not given)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    attempts: Option<u32>,
    /// Install again after a power cut although the disk was being written
    #[arg(long)]
    retry_after_write: bool,
    #[command(flatten)]
    options: FlagArguments,
}

/// How a flag behaves.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct FlagArguments {
    /// When the flag is dead if the machine has not booted (24h if not given)
    #[arg(long, value_name = "SPAN", value_parser = time::parse_duration)]
    pub expires: Option<Duration>,
    /// Only say what would happen
    #[arg(long)]
    pub dry_run: bool,
}

impl FlagArguments {
    /// The request for a selection.
    pub(super) fn request(
        &self,
        selection: crate::model::Selection,
        purpose: Purpose,
    ) -> FlagRequest {
        FlagRequest {
            selection,
            purpose,
            profile: None,
            expect: None,
            expires: self.expires.map(|d| d.as_secs()),
            attempts: None,
            retry_after_write: None,
            dry_run: false,
            agreed: None,
        }
    }
}

impl Rebuild {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let selection = self.select.some("rebuild")?;
        let mut request = self.options.request(selection, Purpose::Install);
        request.attempts = self.attempts;
        request.retry_after_write = self.retry_after_write.then_some(true);
        flag::run(
            session,
            "rebuild",
            &self.agree,
            request,
            self.options.dry_run,
        )
        .await
    }
}
