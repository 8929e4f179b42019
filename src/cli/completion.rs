//! `farrier completion`: scripts for shells.

use clap::Args;
use clap_complete::Shell;

use super::{Exit, Session};
use crate::model::Refusal;

/// Print a completion script for a shell.
#[derive(Debug, Args)]
pub(super) struct Completion {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completion {
    /// Runs it.
    pub(super) fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "farrier", &mut script);
        session.printer.bytes(&script);
        let how = match self.shell {
            Shell::Bash => {
                "farrier completion bash > /usr/share/bash-completion/completions/farrier"
            }
            Shell::Zsh => "farrier completion zsh > /usr/local/share/zsh/site-functions/_farrier",
            Shell::Fish => "farrier completion fish > ~/.config/fish/completions/farrier.fish",
            Shell::PowerShell => "farrier completion powershell >> $PROFILE",
            _ => "see your shell's manual for where completion scripts go",
        };
        if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
            session.printer.talk(&format!("to install it: {how}"));
        }
        Ok(Exit::Done)
    }
}
