//! `farrier man`: manual pages.

use std::path::{Path, PathBuf};

use clap::Args;
use clap_mangen::Man as Page;

use super::{Exit, Session};
use crate::model::Refusal;

/// Write man pages: farrier.1 and one for each verb.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Directory to write them to; without it the main page goes to stdout
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Man {
    /// Runs it.
    pub(super) fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let command = super::command();
        let Some(directory) = self.directory else {
            let mut page = Vec::new();
            Page::new(command)
                .render(&mut page)
                .map_err(|e| Refusal::failed(format!("the page cannot be made: {e}")))?;
            session.printer.bytes(&page);
            return Ok(Exit::Done);
        };
        std::fs::create_dir_all(&directory).map_err(|e| unwritable(&directory, &e))?;
        clap_mangen::generate_to(command, &directory).map_err(|e| unwritable(&directory, &e))?;
        session.printer.talk(&format!(
            "man pages are in `{0}`; read one with `man -l {0}/farrier.1`",
            directory.display()
        ));
        Ok(Exit::Done)
    }
}

fn unwritable(directory: &Path, error: &std::io::Error) -> Refusal {
    Refusal::failed(format!(
        "man pages cannot be written to `{}`: {error}",
        directory.display()
    ))
}
