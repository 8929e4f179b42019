//! `farrier boot`: boot another profile once.

use clap::Args;

use super::agree::AgreeArguments;
use super::rebuild::FlagArguments;
use super::{Exit, Session, flag, selection};
use crate::model::{Code, Purpose, Refusal, Selection};

/// Boot another profile once, such as rescue or memtest.
///
/// Nothing is installed and the system's build is left alone; the boot after it is from its own disk.
#[derive(Debug, Args)]
pub(super) struct Boot {
    /// Systems, then the profile
    #[arg(value_name = "NAME", num_args = 1.., required = true)]
    words: Vec<String>,
    /// Only systems with this tag
    #[arg(short = 'l', long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    #[command(flatten)]
    agree: AgreeArguments,
    #[command(flatten)]
    options: FlagArguments,
}

impl Boot {
    /// Runs it.
    pub(super) async fn run(mut self, session: &Session) -> Result<Exit, Refusal> {
        let profile = self.words.pop().unwrap_or_default();
        let selection = Selection {
            selectors: selection::expand(self.words)?,
            tags: self.tags,
            phases: Vec::new(),
        };
        if selection.is_empty() {
            return Err(Refusal::new(
                Code::Usage,
                format!("`{profile}` is all that was given, and a system and a profile are wanted"),
            )
            .help("farrier boot NAME rescue"));
        }
        let mut request = self.options.request(selection, Purpose::Once);
        request.profile = Some(
            profile
                .parse()
                .map_err(|e: crate::model::name::NameError| {
                    Refusal::new(Code::Usage, e.to_string())
                })?,
        );
        flag::run(session, "boot", &self.agree, request, self.options.dry_run).await
    }
}
