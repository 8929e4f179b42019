//! `farrier man`: manual pages.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use clap_mangen::Man as Page;

use super::{Exit, Session};
use crate::model::Refusal;

/// What every page ends with: clap knows nothing of it.
const REST: &str = include_str!("man.roff");

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
            let page = page(command)
                .map_err(|e| Refusal::failed(format!("the page cannot be made: {e}")))?;
            session.printer.bytes(&page);
            return Ok(Exit::Done);
        };
        std::fs::create_dir_all(&directory).map_err(|e| unwritable(&directory, &e))?;
        write_all(command, &directory).map_err(|e| unwritable(&directory, &e))?;
        session.printer.talk(&format!(
            "man pages are in `{0}`; read one with `man -l {0}/farrier.1`",
            directory.display()
        ));
        Ok(Exit::Done)
    }
}

/// One page, whole.
fn page(command: clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Page::new(command)
        .source(concat!("farrier ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)?;
    page.write_all(REST.as_bytes())?;
    Ok(page)
}

/// A page for the command and one for each below it, named as `man` looks for them.
fn write_all(mut command: clap::Command, directory: &Path) -> std::io::Result<()> {
    command.build();
    let below: Vec<clap::Command> = command.get_subcommands().cloned().collect();
    for sub in below.into_iter().filter(|c| c.get_name() != "help") {
        write_all(sub, directory)?;
    }
    let name = command.get_display_name().unwrap_or(command.get_name());
    let path = directory.join(format!("{name}.1"));
    std::fs::write(path, page(command)?)
}

fn unwritable(directory: &Path, error: &std::io::Error) -> Refusal {
    Refusal::failed(format!(
        "man pages cannot be written to `{}`: {error}",
        directory.display()
    ))
}
