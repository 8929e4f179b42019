//! Files by URL: resumed where they broke off, tried again, measured before they are believed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{
    CONTENT_RANGE, ETAG, HeaderMap, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Client, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use super::client::reason;
use super::disk;
use super::error::ArtefactError;
use super::progress::{Report, Step, tell};

/// No artefact may be larger.
const MAX_SIZE: u64 = 32 << 30;
/// Tries without a new byte before a download is given up.
const TRIES: u32 = 5;
/// The pause after the first failed try; it doubles with each.
const PAUSE: Duration = Duration::from_millis(500);

/// One file to fetch.
pub(super) struct Order<'a> {
    /// The artefact's name, for progress and messages.
    pub(super) name: &'a str,
    pub(super) url: &'a str,
    /// A digest vouches for the bytes, so a server that gives no length is good enough.
    pub(super) pinned: bool,
    /// The version on the shelf: nothing is fetched if the server says it is still this.
    pub(super) known: Option<&'a str>,
    /// Where the bytes gather; stays after a failure, to go on from.
    pub(super) part: &'a Path,
    pub(super) report: &'a Report,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Download {
    /// The whole file is in the part file.
    Whole {
        /// The URL after redirects.
        url: String,
        /// The server's mark of this version.
        version: Option<String>,
    },
    /// The server says the known version is still right.
    Unchanged,
}

/// What the part file is a part of; kept next to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    url: String,
    /// A strong ETag or a date, for If-Range.
    version: Option<String>,
    total: Option<u64>,
}

/// Why a try ended early.
enum Broken {
    /// Another try may help.
    Again(String),
    /// None will.
    Final(String),
    Ours(ArtefactError),
}

/// Checks a declared URL.
///
/// # Errors
/// Not http or https, no host, or a password in it.
pub(super) fn parse(url: &str) -> Result<Url, ArtefactError> {
    let wrong = |reason: &str, shown: &str| ArtefactError::Url {
        url: shown.to_string(),
        reason: reason.to_string(),
    };
    let parsed = Url::parse(url).map_err(|e| wrong(&e.to_string(), url))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(wrong("only http and https are fetched", url));
    }
    if parsed.username() != "" || parsed.password().is_some() {
        // not shown again: the message may be logged
        return Err(wrong(
            "it holds a user or password",
            parsed.host_str().unwrap_or(""),
        ));
    }
    Ok(parsed)
}

/// Fetches one file into `order.part`.
///
/// # Errors
/// The URL is refused, the server refuses, or [`TRIES`] tries in a row brought nothing.
pub(super) async fn download(
    client: &Client,
    order: &Order<'_>,
) -> Result<Download, ArtefactError> {
    let url = parse(order.url)?;
    let refused = |reason: String| ArtefactError::Url {
        url: order.url.to_string(),
        reason,
    };
    let mut failed = 0;
    let mut had = size(order.part);
    loop {
        match attempt(client, &url, order).await {
            Ok(done) => return Ok(done),
            Err(Broken::Ours(error)) => return Err(error),
            Err(Broken::Final(why)) => return Err(refused(why)),
            Err(Broken::Again(why)) => {
                let have = size(order.part);
                failed = if have > had { 1 } else { failed + 1 };
                had = have;
                if failed >= TRIES {
                    return Err(refused(format!(
                        "{why} ({TRIES} tries); what came is kept, fetch again to go on"
                    )));
                }
                tracing::debug!(url = order.url, why, "download broke off, trying again");
                tokio::time::sleep(PAUSE * 2u32.pow(failed - 1)).await;
            }
        }
    }
}

async fn attempt(client: &Client, url: &Url, order: &Order<'_>) -> Result<Download, Broken> {
    let note = Note::read(order.part).filter(|n| n.url == order.url);
    let have = size(order.part);
    let mut request = client.get(url.clone());
    match &note {
        // a part without a mark of its version cannot be told from a part of another version
        Some(Note {
            version: Some(version),
            ..
        }) if have > 0 => {
            request = request
                .header(RANGE, format!("bytes={have}-"))
                .header(IF_RANGE, version);
        }
        _ => {
            if let Some(known) = order
                .known
                .filter(|k| k.starts_with('"') || k.starts_with("W/"))
            {
                request = request.header(IF_NONE_MATCH, known);
            }
        }
    }
    let response = request.send().await.map_err(lost)?;
    let status = response.status();
    match status {
        StatusCode::NOT_MODIFIED => Ok(Download::Unchanged),
        StatusCode::PARTIAL_CONTENT => {
            let (from, total) = content_range(response.headers())
                .ok_or_else(|| Broken::Final("it answers a range without saying which".into()))?;
            let expected = note.as_ref().and_then(|n| n.total);
            if from != have || expected.is_some_and(|e| Some(e) != total) {
                discard(order.part)?;
                return Err(Broken::Again("it answered another range than asked".into()));
            }
            receive(response, order, have, total).await
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            // Either the part is already the whole, or it belongs to something else.
            if let Some(Note {
                total: Some(total),
                version,
                ..
            }) = note
                && total == have
            {
                let (url, version) = (response.url().to_string(), version);
                return Ok(Download::Whole { url, version });
            }
            discard(order.part)?;
            Err(Broken::Again(
                "it refused to go on from where it broke off".into(),
            ))
        }
        StatusCode::OK => {
            let total = length(&response);
            if total.is_none() && !order.pinned && !chunked(response.headers()) {
                return Err(Broken::Final(
                    "the server gives no length, so a cut transfer would look whole; declare `sha256`".into(),
                ));
            }
            let fresh = Note {
                url: order.url.to_string(),
                version: version(response.headers()),
                total,
            };
            discard(order.part)?;
            fresh.write(order.part).map_err(Broken::Ours)?;
            receive(response, order, 0, total).await
        }
        s if s.is_server_error() || matches!(s.as_u16(), 408 | 425 | 429) => {
            Err(Broken::Again(format!("the server answers {s}")))
        }
        s if s.is_redirection() => Err(Broken::Final(format!(
            "the server redirects ({s}) to where only http and https are followed"
        ))),
        s => Err(Broken::Final(format!("the server answers {s}"))),
    }
}

async fn receive(
    mut response: Response,
    order: &Order<'_>,
    from: u64,
    total: Option<u64>,
) -> Result<Download, Broken> {
    let ours = |action| move |e| Broken::Ours(ArtefactError::file(action, order.part)(e));
    let left = |done: u64| total.map(|t| t.saturating_sub(done));
    let mut gauge = disk::Gauge::new(order.part, left(from)).map_err(Broken::Ours)?;
    let mut file = tokio::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(order.part)
        .await
        .map_err(ours("open"))?;
    let mut done = from;
    let ended = loop {
        tell(order.report, order.name, Step::Downloading, done, total);
        match response.chunk().await {
            Ok(Some(bytes)) => {
                let came = bytes.len() as u64;
                gauge.take(came, left(done)).map_err(Broken::Ours)?;
                done += came;
                if done > MAX_SIZE || total.is_some_and(|t| done > t) {
                    break Err(Broken::Final(format!(
                        "it sends more than {} bytes",
                        total.unwrap_or(MAX_SIZE)
                    )));
                }
                file.write_all(&bytes).await.map_err(ours("write"))?;
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(lost(error)),
        }
    };
    // also after a failure: the next try goes on from what is really there
    file.flush().await.map_err(ours("write"))?;
    ended?;
    match total {
        Some(total) if total != done => Err(Broken::Again(format!(
            "the transfer ended after {done} of {total} bytes"
        ))),
        _ => Ok(Download::Whole {
            url: response.url().to_string(),
            version: version(response.headers()),
        }),
    }
}

fn lost(error: reqwest::Error) -> Broken {
    let why = reason(&error);
    if error.is_redirect() || error.is_builder() {
        Broken::Final(why)
    } else {
        Broken::Again(why)
    }
}

/// The announced length. reqwest's own takes the body's, which is unknown after HEAD and redirects.
fn length(response: &Response) -> Option<u64> {
    let value = response.headers().get(reqwest::header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

fn chunked(headers: &HeaderMap) -> bool {
    headers
        .get(reqwest::header::TRANSFER_ENCODING)
        .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// A strong ETag, else a date: what If-Range takes (RFC 9110 section 13.1.5).
fn version(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    text(ETAG)
        .filter(|t| t.starts_with('"'))
        .or_else(|| text(LAST_MODIFIED))
        .map(str::to_string)
}

/// `bytes 5-9/10`: the first byte and the whole length.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (from, _) = range.split_once('-')?;
    Some((from.parse().ok()?, total.parse().ok()))
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

fn discard(part: &Path) -> Result<(), Broken> {
    for path in [part.to_path_buf(), Note::path(part)] {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Broken::Ours(ArtefactError::file("remove", &path)(e)));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Note {
    fn path(part: &Path) -> PathBuf {
        part.with_added_extension("note")
    }

    fn read(part: &Path) -> Option<Note> {
        serde_json::from_slice(&fs::read(Note::path(part)).ok()?).ok()
    }

    fn write(&self, part: &Path) -> Result<(), ArtefactError> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        disk::replace(&Note::path(part), &text)
    }
}
