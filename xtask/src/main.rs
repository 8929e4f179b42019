//! `cargo xtask`: what a developer and CI type.

mod packages;
mod run;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tasks of this repository.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what the tests need, and run them
    Test {
        /// Also the long firmware runs; writes docs/evidence.md
        #[arg(long)]
        all: bool,
        /// Only tests whose name contains this
        filter: Vec<String>,
    },
    /// Install what the tests need
    Setup,
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Setup => packages::install(),
        Task::Test { all, filter } => {
            packages::install()?;
            run::tests(all, &filter)
        }
    }
}
