//! What can be typed: the global options and the tree of verbs.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{
    Exit, add, apply, boot, cancel, check, completion, discovered, distro, doctor, events,
    inventory, lease, logs, ls, man, plan, profile, puppet, rebuild, render, revision, rm, secret,
    serve, session::Session, set, show, status, wait, watch, why,
};
use crate::model::Refusal;

/// Everything typed.
#[derive(Debug, Parser)]
#[command(
    name = "farrier",
    version,
    about = "Boots, installs and hands off bare metal, and rebuilds it",
    long_about = "Boots, installs and hands off bare metal, and rebuilds it.\n\n\
        Wherever a NAME is wanted, a MAC in any spelling or the serial number of its disk does \
        too; wherever several may be, also a node set such as web[01-20], a quoted glob, -l TAG \
        or - (names on stdin).",
    max_term_width = 80,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 there is a difference, 3 not found, \
        4 refused by a guard, 5 partly failed, 6 timed out, 7 server unreachable, 64 usage."
)]
pub(super) struct Arguments {
    /// What every verb understands.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// The site: the directory that holds systems.toml
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "FARRIER_SITE",
        hide_env_values = true
    )]
    pub site: Option<PathBuf>,
    /// The state: database, artefacts and control socket
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "FARRIER_STATE",
        hide_env_values = true
    )]
    pub state: Option<PathBuf>,
    /// How to print what was asked for
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "table"
    )]
    pub output: Output,
    /// Whether to colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Never ask; refuse what would need an answer
    #[arg(long, global = true)]
    pub no_input: bool,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// One line for each object
    Table,
    /// The same with more columns
    Wide,
    /// One JSON value; errors too
    Json,
    /// One JSON value for each line
    Jsonl,
    /// Names only, for other commands to read
    Name,
}

/// Whether output is coloured. Colour never carries meaning alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The verbs. Everyday ones are here; each is also under its noun. What a verb does is said where its
/// arguments are.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Demo(super::demo::Demo),
    #[command(after_help = "The same as: farrier server serve")]
    Serve(serve::Serve),
    #[command(after_help = "The same as: farrier server doctor")]
    Doctor(doctor::Doctor),
    #[command(after_help = "The same as: farrier server status")]
    Status(status::Status),
    #[command(after_help = "The same as: farrier system ls")]
    Ls(ls::Ls),
    #[command(after_help = "The same as: farrier system add")]
    Add(add::Add),
    #[command(after_help = "The same as: farrier discovered adopt")]
    Adopt(discovered::Adopt),
    #[command(after_help = "The same as: farrier system set")]
    Set(set::Set),
    #[command(after_help = "The same as: farrier system rm")]
    Rm(rm::Rm),
    #[command(after_help = "The same as: farrier system show")]
    Show(show::Show),
    #[command(after_help = "The same as: farrier system rebuild")]
    Rebuild(rebuild::Rebuild),
    #[command(after_help = "The same as: farrier system cancel")]
    Cancel(cancel::Cancel),
    #[command(after_help = "The same as: farrier system boot")]
    Boot(boot::Boot),
    #[command(after_help = "The same as: farrier system why")]
    Why(why::Why),
    #[command(after_help = "The same as: farrier system watch")]
    Watch(watch::Watch),
    #[command(after_help = "The same as: farrier system wait")]
    Wait(wait::Wait),
    #[command(after_help = "The same as: farrier event ls")]
    Events(events::Events),
    #[command(after_help = "The same as: farrier system logs")]
    Logs(logs::Logs),
    #[command(after_help = "The same as: farrier system render")]
    Render(render::Render),
    Check(check::Check),
    Plan(plan::Plan),
    Apply(apply::Apply),
    /// Systems: machines as declared
    #[command(subcommand, disable_help_subcommand = true)]
    System(SystemCommand),
    /// Profiles: how to make a system what it should be
    #[command(subcommand, disable_help_subcommand = true)]
    Profile(profile::ProfileCommand),
    /// Distros: kernels, initrds and loaders
    #[command(subcommand, disable_help_subcommand = true)]
    Distro(distro::DistroCommand),
    /// Leases: addresses and who holds them
    #[command(subcommand, disable_help_subcommand = true)]
    Lease(lease::LeaseCommand),
    /// Discovered: machines that were seen and not declared
    #[command(subcommand, disable_help_subcommand = true)]
    Discovered(discovered::DiscoveredCommand),
    /// Events: what happened
    #[command(subcommand, disable_help_subcommand = true)]
    Event(EventCommand),
    /// Secrets: values that no file holds
    #[command(subcommand, disable_help_subcommand = true)]
    Secret(secret::SecretCommand),
    /// Puppet: what its server runs
    #[command(subcommand, disable_help_subcommand = true)]
    Puppet(puppet::PuppetCommand),
    Inventory(inventory::Inventory),
    /// Revisions: what was in force, and when
    #[command(subcommand, disable_help_subcommand = true)]
    Revision(revision::RevisionCommand),
    /// The server itself
    #[command(subcommand, disable_help_subcommand = true)]
    Server(ServerCommand),
    Completion(completion::Completion),
    Man(man::Man),
}

/// `farrier system VERB`.
#[derive(Debug, Subcommand)]
pub(super) enum SystemCommand {
    Ls(ls::Ls),
    Add(add::Add),
    Set(set::Set),
    Rm(rm::Rm),
    Show(show::Show),
    Rebuild(rebuild::Rebuild),
    Cancel(cancel::Cancel),
    Boot(boot::Boot),
    Why(why::Why),
    Watch(watch::Watch),
    Wait(wait::Wait),
    Logs(logs::Logs),
    Render(render::Render),
}

/// `farrier event VERB`.
#[derive(Debug, Subcommand)]
pub(super) enum EventCommand {
    Ls(events::Events),
}

/// `farrier server VERB`.
#[derive(Debug, Subcommand)]
pub(super) enum ServerCommand {
    Serve(serve::Serve),
    Status(status::Status),
    Doctor(doctor::Doctor),
}

impl Command {
    /// Whether this runs for long and wants every core.
    pub(super) fn is_server(&self) -> bool {
        matches!(
            self,
            Command::Serve(_) | Command::Server(ServerCommand::Serve(_))
        )
    }

    /// Runs the verb.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        match self {
            Command::Serve(verb) | Command::Server(ServerCommand::Serve(verb)) => {
                verb.run(session).await
            }
            Command::Doctor(verb) | Command::Server(ServerCommand::Doctor(verb)) => {
                verb.run(session).await
            }
            Command::Status(verb) | Command::Server(ServerCommand::Status(verb)) => {
                verb.run(session).await
            }
            // It waits for machines and processes, not for sockets.
            Command::Demo(verb) => tokio::task::block_in_place(|| verb.run(session)),
            Command::Ls(verb) => verb.run(session).await,
            Command::Add(verb) => verb.run(session).await,
            Command::Adopt(verb) => verb.run(session).await,
            Command::Set(verb) => verb.run(session).await,
            Command::Rm(verb) => verb.run(session).await,
            Command::Show(verb) => verb.run(session).await,
            Command::Rebuild(verb) => verb.run(session).await,
            Command::Cancel(verb) => verb.run(session).await,
            Command::Boot(verb) => verb.run(session).await,
            Command::Why(verb) => verb.run(session).await,
            Command::Watch(verb) => verb.run(session).await,
            Command::Wait(verb) => verb.run(session).await,
            Command::Events(verb) | Command::Event(EventCommand::Ls(verb)) => {
                verb.run(session).await
            }
            Command::Logs(verb) => verb.run(session).await,
            Command::Render(verb) => verb.run(session).await,
            Command::Check(verb) => verb.run(session).await,
            Command::Plan(verb) => verb.run(session).await,
            Command::Apply(verb) => verb.run(session).await,
            Command::System(verb) => verb.run(session).await,
            Command::Profile(verb) => verb.run(session).await,
            Command::Distro(verb) => verb.run(session).await,
            Command::Lease(verb) => verb.run(session).await,
            Command::Discovered(verb) => verb.run(session).await,
            Command::Secret(verb) => verb.run(session).await,
            Command::Puppet(verb) => verb.run(session).await,
            Command::Inventory(verb) => verb.run(session).await,
            Command::Revision(verb) => verb.run(session).await,
            Command::Completion(verb) => verb.run(session),
            Command::Man(verb) => verb.run(session),
        }
    }
}

impl SystemCommand {
    async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        match self {
            SystemCommand::Ls(verb) => verb.run(session).await,
            SystemCommand::Add(verb) => verb.run(session).await,
            SystemCommand::Set(verb) => verb.run(session).await,
            SystemCommand::Rm(verb) => verb.run(session).await,
            SystemCommand::Show(verb) => verb.run(session).await,
            SystemCommand::Rebuild(verb) => verb.run(session).await,
            SystemCommand::Cancel(verb) => verb.run(session).await,
            SystemCommand::Boot(verb) => verb.run(session).await,
            SystemCommand::Why(verb) => verb.run(session).await,
            SystemCommand::Watch(verb) => verb.run(session).await,
            SystemCommand::Wait(verb) => verb.run(session).await,
            SystemCommand::Logs(verb) => verb.run(session).await,
            SystemCommand::Render(verb) => verb.run(session).await,
        }
    }
}
