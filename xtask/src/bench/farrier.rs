//! The program itself on a written site.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use farrier::cli::demo::rack::{Pair, Server, ServerSettings};

use crate::Setting;
use crate::peer;
use crate::site::Site;

/// Systems that were not rendered before the start are rendered within this time.
const SETTLED: Duration = Duration::from_secs(300);

/// A running Farrier.
#[derive(Debug)]
pub(crate) struct Farrier {
    server: Server,
    /// From its start to its readiness line.
    pub(crate) took: Duration,
    state: PathBuf,
}

impl Farrier {
    /// Writes the site, starts the server on a state of its own, waits until every door is open.
    pub(crate) fn start(
        setting: &Setting,
        pair: &Pair,
        name: &str,
        site: &Site,
    ) -> Result<Farrier> {
        let state = pair.dir().join(format!("{name}-state"));
        let program = fs::canonicalize(&setting.program)
            .with_context(|| format!("{}: build it first", setting.program.display()))?;
        let settings = ServerSettings {
            program,
            site: site.write(&pair.dir().join(format!("{name}-site")))?,
            state: state.clone(),
            environment: Vec::new(),
        };
        let begun = Instant::now();
        let server = Server::start_in(pair.server(), pair.dir(), settings)?;
        Ok(Farrier {
            server,
            took: begun.elapsed(),
            state,
        })
    }

    /// Runs `farrier` with these arguments, which must succeed; returns how long it took.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Duration> {
        let begun = Instant::now();
        self.server.must(arguments)?;
        Ok(begun.elapsed())
    }

    /// Waits until the systems that it looks at after its start were looked at.
    pub(crate) fn settle(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let status = self.server.must(&["status", "-o", "json"])?;
            let status: serde_json::Value = serde_json::from_str(&status)?;
            match status["unrendered"].as_u64() {
                Some(0) => return Ok(()),
                None => bail!("`status` does not say what is left to render"),
                Some(left) if begun.elapsed() > SETTLED => bail!("{left} systems are not rendered"),
                Some(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// The most memory it held so far, in MB.
    pub(crate) fn peak(&self) -> f64 {
        self.server.id().map_or(f64::NAN, peer::peak)
    }

    /// Ends it, and removes its state.
    pub(crate) fn stop(mut self) -> Result<()> {
        let code = self.server.stop()?;
        if code != 0 {
            bail!("farrier ended with {code}: {}", self.server.tail());
        }
        fs::remove_dir_all(&self.state).with_context(|| self.state.display().to_string())
    }
}
