//! People: the command line. Arguments, printing, one file for each verb.
//!
//! A verb is a `clap::Args` struct with a `run` method that gets a [`session::Session`] and returns an
//! [`Exit`] or a [`crate::model::Refusal`]; [`main`] prints the refusal and turns either into the exit
//! code. Data goes to stdout, talk to stderr, and only [`printer`] and [`failure`] write to them.

mod add;
mod agree;
mod apply;
mod arguments;
mod boot;
mod cancel;
mod change;
mod check;
mod client;
mod completion;
pub mod demo;
mod discovered;
mod distro;
mod distro_add;
mod distro_import;
mod doctor;
mod edit;
mod events;
mod failure;
mod flag;
mod follow;
mod inventory;
mod lease;
mod logs;
mod ls;
mod man;
mod offline;
mod place;
mod plan;
mod printer;
mod profile;
mod progress;
mod puppet;
mod rebuild;
mod reference;
mod render;
mod revision;
mod rm;
mod secret;
mod selection;
mod serve;
mod server;
mod session;
mod set;
mod show;
mod status;
mod time;
mod unified;
mod wait;
mod watch;
mod why;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::{CommandFactory, Parser};

pub use place::{Place, PlaceError};
pub use reference::reference;
pub use session::Session;

/// How a verb ended if it was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Done,
    /// It did what was asked, and there is a difference or a finding.
    Differs,
    /// It did what was asked, and what it was asked about is not well.
    Failed,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Differs => 2,
        }
    }
}

/// The whole program `farrier`: reads the arguments, runs the verb, says how it ended.
pub fn main() -> ExitCode {
    let typed: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let arguments = match Arguments::try_parse_from(&typed) {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(failure::usage(&error, &typed)),
    };
    let session = match Session::new(&arguments.global) {
        Ok(session) => session,
        Err(refusal) => {
            let printer = printer::Printer::new(&arguments.global);
            failure::print(&printer, &refusal);
            return ExitCode::from(refusal.code.exit());
        }
    };
    match run(arguments.command, &session) {
        Ok(_) if session.printer.lost_data() => ExitCode::from(Exit::Failed.code()),
        Ok(exit) => ExitCode::from(exit.code()),
        Err(refusal) => {
            failure::print(&session.printer, &refusal);
            ExitCode::from(refusal.code.exit())
        }
    }
}

fn run(command: Command, session: &Session) -> Result<Exit, crate::model::Refusal> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if !command.is_server() {
        builder.worker_threads(2);
    }
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|e| crate::model::Refusal::failed(format!("no runtime could be started: {e}")))?;
    runtime.block_on(command.run(session))
}

/// The command tree, for completion, man pages and the documentation's test.
pub fn command() -> clap::Command {
    Arguments::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_tree_is_sound() {
        super::command().debug_assert();
    }

    #[test]
    fn help_fits_80_columns() {
        fn check(command: &mut clap::Command, path: &str) {
            let help = command.render_long_help().to_string();
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{path}: {line}");
            }
            for sub in command.get_subcommands_mut() {
                let path = format!("{path} {}", sub.get_name());
                check(sub, &path);
            }
        }
        let mut command = super::command();
        command.build();
        check(&mut command, "farrier");
    }
}
