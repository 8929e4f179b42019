//! What every verb has at hand.

use std::io::IsTerminal;

use super::arguments::Global;
use super::client::Client;
use super::place::Place;
use super::printer::Printer;
use crate::model::{Code, Refusal};

/// One run of the program.
#[derive(Debug)]
pub struct Session {
    /// Where the site and the state are.
    pub place: Place,
    /// Where data and talk go.
    pub printer: Printer,
    /// The server, if one runs.
    pub client: Client,
    /// Questions can be asked.
    pub interactive: bool,
}

impl Session {
    /// Resolves the global options.
    ///
    /// # Errors
    /// The site that was named is no directory.
    pub(super) fn new(global: &Global) -> Result<Session, Refusal> {
        let current = std::env::current_dir()
            .map_err(|e| Refusal::failed(format!("the current directory cannot be read: {e}")))?;
        let place = Place::resolve(global.site.as_deref(), global.state.as_deref(), &current)
            .map_err(|e| {
                Refusal::new(Code::NotFound, e.to_string())
                    .help("name the directory that holds systems.toml with `--site DIR`")
            })?;
        let printer = Printer::new(global);
        Ok(Session {
            client: Client::new(place.socket()),
            interactive: !global.no_input
                && !printer.is_json()
                && std::io::stdin().is_terminal()
                && std::io::stderr().is_terminal(),
            place,
            printer,
        })
    }

    /// Whether a server answers on the control socket. A stale socket file does not count.
    pub async fn has_server(&self) -> bool {
        self.client.is_up().await
    }
}
