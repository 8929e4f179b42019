//! `cargo xtask`: what a developer and CI type.

mod measure;
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
    /// Measure Farrier beside its peers and write docs/benchmarks.md
    Bench {
        /// Parts (dhcp, tftp, http, scale; all if none is named) and options, see `-- --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Setup => packages::install(packages::TESTS),
        Task::Bench { words } => {
            packages::install(packages::BENCH)?;
            measure::bench(&words)
        }
        Task::Test { all, filter } => {
            packages::install(packages::TESTS)?;
            run::tests(all, &filter)
        }
    }
}
