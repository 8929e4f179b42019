//! `/mirror/NAME/PATH`: the pull-through cache of a distribution mirror.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_lite::Stream;

use super::body::Source;
use super::machine::{Answer, Asked, MachinePlane};
use super::reply::{self, Served};
use crate::lifecycle::observed::of_mirror;
use crate::model::{Event, EventKind, Stage};

/// Seconds after which a client that was refused asks again.
const AGAIN: &str = "5";

/// What the cache has for a path.
pub enum Found {
    /// A whole file on this server.
    File {
        /// Open.
        file: File,
        /// Bytes.
        size: u64,
        /// Strong entity tag, quotes included, if there is one.
        etag: Option<String>,
        /// As the upstream said it.
        last_modified: Option<String>,
        /// As the upstream said it.
        content_type: Option<String>,
    },
    /// A file that is still coming in.
    Stream {
        /// Its bytes; an error ends the connection, so that the client sees a cut transfer.
        bytes: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
        /// How many, if the upstream said so.
        size: Option<u64>,
        /// As the upstream said it.
        last_modified: Option<String>,
        /// As the upstream said it.
        content_type: Option<String>,
    },
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Found::File { .. } => "Found::File",
            Found::Stream { .. } => "Found::Stream",
        })
    }
}

/// Why there is nothing.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// No such mirror, or the upstream has no such file.
    #[error("there is no such file")]
    NotFound,
    /// Too many wait for the upstream; a few seconds later it may go.
    #[error("too many requests wait for the upstream")]
    Busy,
    /// The upstream could not be asked.
    #[error("the upstream could not be asked: {0}")]
    Upstream(String),
}

/// A look-up under way.
pub type Finding<'a> = Pin<Box<dyn Future<Output = Result<Found, Missing>> + Send + 'a>>;

/// The caches. The wiring gives the machine plane `artefacts::mirror` behind this.
pub trait Mirrors: Send + Sync + 'static {
    /// Finds a file of a mirror for a client, which waits for its turn. `head`: only whether it is
    /// there and how long it is; the body is not read.
    fn find<'a>(
        &'a self,
        client: Ipv4Addr,
        mirror: &'a str,
        path: &'a str,
        head: bool,
    ) -> Finding<'a>;
}

/// No mirror at all.
#[derive(Debug, Clone, Copy)]
pub struct NoMirrors;

impl Mirrors for NoMirrors {
    fn find<'a>(
        &'a self,
        _client: Ipv4Addr,
        _mirror: &'a str,
        _path: &'a str,
        _head: bool,
    ) -> Finding<'a> {
        Box::pin(async { Err(Missing::NotFound) })
    }
}

pub(super) async fn mirror(plane: &MachinePlane, asked: &Asked, name: &str, path: &str) -> Answer {
    let answer = find(plane, asked, name, path).await;
    if answer.response.status().is_success() && !asked.looks_only() {
        note(plane, asked, path);
    }
    answer
}

/// A silent installer shows by what it fetches where it stands.
fn note(plane: &MachinePlane, asked: &Asked, path: &str) {
    let site = plane.waist.site();
    let Some(system) = asked.mac.and_then(|mac| site.by_mac.get(&mac)) else {
        return;
    };
    plane.waist.note(Event {
        system: system.name.clone(),
        epoch: None,
        kind: EventKind::Seen {
            stage: Stage::clean(of_mirror(path)),
            detail: path.rsplit('/').next().unwrap_or("").to_string(),
            by: "mirror".to_string(),
        },
    });
}

async fn find(plane: &MachinePlane, asked: &Asked, name: &str, path: &str) -> Answer {
    let octets = || "application/octet-stream".to_string();
    let head = asked.looks_only();
    match plane.mirrors.find(asked.from, name, path, head).await {
        Ok(Found::File {
            file,
            size,
            etag,
            last_modified,
            content_type,
        }) => {
            if let Some(time) = last_modified.as_deref()
                && is_known(&asked.headers, time)
            {
                return not_modified(etag.as_deref(), time).into();
            }
            let served = Served {
                source: Source::File(Arc::new(file)),
                size,
                etag,
                content_type: content_type.unwrap_or_else(octets),
                at_end: None,
            };
            let mut response = served.reply(&asked.headers);
            if let Some(time) = last_modified {
                reply::set(&mut response, LAST_MODIFIED, &time);
            }
            response.into()
        }
        Ok(Found::Stream {
            bytes,
            size,
            last_modified,
            content_type,
        }) => {
            let mut response = Response::new(Body::from_stream(bytes));
            reply::set(
                &mut response,
                CONTENT_TYPE,
                &content_type.unwrap_or_else(octets),
            );
            if let Some(time) = last_modified {
                reply::set(&mut response, LAST_MODIFIED, &time);
            }
            if let Some(size) = size {
                response
                    .headers_mut()
                    .insert(CONTENT_LENGTH, HeaderValue::from(size));
            }
            response.headers_mut().remove(ETAG);
            response.into()
        }
        Err(Missing::NotFound) => reply::not_found().into(),
        Err(Missing::Busy) => {
            let text = "too many requests wait for the upstream\n".to_string();
            let mut response = reply::text(StatusCode::SERVICE_UNAVAILABLE, text);
            reply::set(&mut response, RETRY_AFTER, AGAIN);
            Answer::remark(response, "too many requests wait for the upstream")
        }
        Err(error) => {
            tracing::warn!(mirror.name = name, %error, "a mirror could not be asked");
            let response = reply::text(StatusCode::BAD_GATEWAY, format!("{error}\n"));
            Answer::remark(response, error.to_string())
        }
    }
}

/// Whether the client has the file of this time (RFC 9110 section 13.1.3), which apt asks for every
/// index. The time that it names is the one it was told here, so no other is taken for it: a mirror
/// may go back to an older file.
fn is_known(headers: &HeaderMap, last_modified: &str) -> bool {
    let tagged = headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MATCH);
    let asked = headers.get(IF_MODIFIED_SINCE).and_then(|v| v.to_str().ok());
    !tagged && asked.is_some_and(|time| time.trim() == last_modified)
}

fn not_modified(etag: Option<&str>, last_modified: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    reply::set(&mut response, LAST_MODIFIED, last_modified);
    if let Some(etag) = etag {
        reply::set(&mut response, ETAG, etag);
    }
    response
}
