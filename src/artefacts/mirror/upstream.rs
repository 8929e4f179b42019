//! One upstream mirror: where it is, how it is asked, and whether it answered lately.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};
use reqwest::{Client, Method, Response, Url};

use super::entry::Head;
use super::path::MirrorPath;
use super::sources::AptHost;
use super::turns::{Admission, Turns};
use crate::artefacts::client::{Wiring, client, reason};
use crate::model::Mirror;

/// Tries to get an answer; what breaks off after its head is not tried again.
const TRIES: usize = 2;
/// The pause between them.
const PAUSE: Duration = Duration::from_millis(300);
/// How long an upstream that did not answer is left alone, where an old copy will do.
const DOWN: Duration = Duration::from_secs(5);

/// An upstream that can be asked.
#[derive(Debug)]
pub(super) struct Upstream {
    /// As declared, to see whether a new declaration changes anything.
    pub(super) declared: Mirror,
    /// Without a trailing slash.
    pub(super) base: String,
    client: Client,
    /// Who may ask.
    pub(super) turns: Arc<Turns>,
    failed: Mutex<Option<Instant>>,
}

impl Upstream {
    /// Makes it ready. An undeclared address is taken from this host's apt, its proxy too.
    ///
    /// # Errors
    /// In one sentence, why the mirror cannot be asked.
    pub(super) fn new(
        name: &str,
        declared: &Mirror,
        host: &AptHost,
        admission: Admission,
    ) -> Result<Upstream, String> {
        let own = declared.upstream.is_none();
        let base = match &declared.upstream {
            Some(base) => base.clone(),
            None => host.mirror(name).ok_or_else(|| {
                format!(
                    "no apt source of this host is mirror `{name}`; set `upstream` under `[mirror.{name}]` in farrier.toml"
                )
            })?,
        };
        let url = Url::parse(&base).map_err(|e| format!("`{base}` is no URL: {e}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() {
            return Err(format!("`{base}` is no http or https address of a mirror"));
        }
        let wiring = Wiring {
            socket: declared.socket.clone(),
            proxy: host.proxy.clone().filter(|_| own),
            // what is fetched is signed, and its readers check that
            downgrade: true,
            no_listing: true,
        };
        let client = client(&wiring).map_err(|e| format!("no HTTP client: {}", reason(&e)))?;
        Ok(Upstream {
            declared: declared.clone(),
            base: base.trim_end_matches('/').to_string(),
            client,
            turns: Turns::new(admission),
            failed: Mutex::new(None),
        })
    }

    pub(super) fn url(&self, path: &MirrorPath) -> String {
        format!("{}/{}", self.base, path.as_str())
    }

    /// It did not answer a moment ago.
    pub(super) fn is_down(&self) -> bool {
        let failed = self.failed.lock().map(|f| *f).unwrap_or(None);
        failed.is_some_and(|since| since.elapsed() < DOWN)
    }

    /// Asks for a file, unless it is still the one `known`. Any status is an answer.
    ///
    /// # Errors
    /// In one sentence, why there is none.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &MirrorPath,
        known: Option<&Head>,
    ) -> Result<Response, String> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut request = self.client.request(method.clone(), self.url(path));
            if let Some(known) = known {
                if let Some(etag) = &known.etag {
                    request = request.header(IF_NONE_MATCH, etag);
                } else if let Some(time) = &known.last_modified {
                    request = request.header(IF_MODIFIED_SINCE, time);
                }
            }
            let why = match request.send().await {
                Ok(response) if !response.status().is_server_error() => {
                    self.note(None);
                    return Ok(response);
                }
                Ok(response) => format!("it answers {}", response.status()),
                Err(error) => reason(&error),
            };
            if tries == TRIES {
                self.note(Some(Instant::now()));
                return Err(why);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn note(&self, failed: Option<Instant>) {
        if let Ok(mut state) = self.failed.lock() {
            *state = failed;
        }
    }
}
