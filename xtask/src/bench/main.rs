//! `cargo xtask bench`: Farrier and its peers side by side, one after the other, in one run.
//!
//! Each part builds a pair of namespaces (a server, and what loads it), starts the servers in turn
//! with the same task, and measures them for several rounds, in alternation: on a busy machine the
//! ratios still hold. What is found goes to `docs/benchmarks.md`, part by part: a part that fails
//! leaves what was written of it before.

mod dhcp;
mod farrier;
mod figures;
mod http;
mod peer;
mod report;
mod scale;
mod site;
mod tftp;
mod wrk;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use figures::Section;

/// Measures Farrier and its peers, and writes the figures down.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which parts (all, if none is named)
    parts: Vec<Part>,
    /// How often each server is measured; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The program that is measured
    #[arg(long, default_value = "target/release/farrier")]
    program: PathBuf,
    /// Where the figures go
    #[arg(long, default_value = "docs/benchmarks.md")]
    report: PathBuf,
    /// Only print them
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Dhcp,
    Tftp,
    Http,
    Scale,
}

/// What every part is given.
#[derive(Debug)]
struct Setting {
    program: PathBuf,
    rounds: usize,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Part::Dhcp => "dhcp",
            Part::Tftp => "tftp",
            Part::Http => "http",
            Part::Scale => "scale",
        }
    }

    fn run(self, setting: &Setting) -> Result<Section> {
        match self {
            Part::Dhcp => dhcp::run(setting),
            Part::Tftp => tftp::run(setting),
            Part::Http => http::run(setting),
            Part::Scale => scale::run(setting),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let parts = match arguments.parts.as_slice() {
        [] => Part::value_variants(),
        some => some,
    };
    let setting = Setting {
        program: arguments.program.clone(),
        rounds: arguments.rounds.max(1),
    };
    let mut failed = false;
    for part in parts {
        let begun = Instant::now();
        let done = part.run(&setting).and_then(|section| {
            let text = report::section(&section, setting.rounds, begun.elapsed());
            println!("{text}");
            match arguments.dry_run {
                true => Ok(()),
                false => report::write(&arguments.report, part.word(), &text),
            }
        });
        if let Err(error) = done {
            failed = true;
            eprintln!("{} failed: {error:#}", part.word());
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
