//! `/a/DIGEST/DISTRO/NAME`, `/pair/..`, `/zeros/N` and `/loader/NAME`: boot artefacts.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::body::{AtEnd, Source};
use super::machine::{Answer, Asked, MachinePlane};
use super::reply::{self, Served};
use crate::model::{Artefact, ArtefactRef, Event, EventKind};

/// From this size on the kernel sends an artefact by itself; a smaller one leaves with its headers
/// in one write.
const WORTH_A_FILE: u64 = 128 * 1024;

/// A kernel, initrd or other artefact, under the digest it was pinned with.
pub(super) async fn artefact(
    plane: &MachinePlane,
    asked: &Asked,
    id: &ArtefactRef,
    digest: &str,
) -> Answer {
    let index = plane.waist.artefacts();
    if let Some(artefact) = index.exact(&id.distro, &id.name, digest) {
        return send(plane, asked, artefact).await;
    }
    let remark = match index.get(&id.distro, &id.name) {
        Some(_) => "another version of it is here now",
        None => "it is not on this server",
    };
    Answer::remark(reply::not_found(), remark)
}

/// A network boot loader.
pub(super) async fn loader(plane: &MachinePlane, asked: &Asked, name: &str) -> Answer {
    match plane.waist.artefacts().loader(name) {
        Some(artefact) => send(plane, asked, artefact).await,
        None => Answer::remark(reply::not_found(), "it is not on this server"),
    }
}

/// What is laid between two initrds.
pub(super) fn zeros(asked: &Asked, count: u8) -> Answer {
    let served = Served {
        source: Source::Memory(vec![0; usize::from(count)].into()),
        size: u64::from(count),
        etag: None,
        content_type: content_type("").to_string(),
        at_end: None,
    };
    served.reply(&asked.headers).into()
}

async fn send(plane: &MachinePlane, asked: &Asked, artefact: &Arc<Artefact>) -> Answer {
    match source(plane, artefact).await {
        Ok(source) => {
            let served = Served {
                source,
                size: artefact.size,
                etag: Some(reply::etag(&artefact.digest)),
                content_type: content_type(&artefact.id.name).to_string(),
                at_end: at_end(plane, asked, artefact),
            };
            served.reply(&asked.headers).into()
        }
        Err(error) => {
            tracing::error!(artefact.path = %artefact.path.display(), %error, "an artefact cannot be read");
            Answer::remark(reply::not_found(), error.to_string())
        }
    }
}

async fn source(plane: &MachinePlane, artefact: &Arc<Artefact>) -> io::Result<Source> {
    if artefact.size < WORTH_A_FILE || artefact.bytes.is_some() {
        if let Some(bytes) = plane.hot.get(artefact).await? {
            return Ok(Source::Memory(bytes));
        }
    } else if let Some(file) = plane.hot.file(artefact).await? {
        return Ok(Source::File(file));
    }
    let artefact = artefact.clone();
    let open = move || {
        let file = File::open(&artefact.path)?;
        if file.metadata()?.len() != artefact.size {
            return Err(io::Error::other("it is not as long as when it was fetched"));
        }
        Ok(Source::File(Arc::new(file)))
    };
    tokio::task::spawn_blocking(open)
        .await
        .map_err(io::Error::other)?
}

/// Notes the fetch once the whole file went out.
fn at_end(plane: &MachinePlane, asked: &Asked, artefact: &Artefact) -> Option<AtEnd> {
    if asked.looks_only() {
        return None;
    }
    let system = plane.waist.site().by_mac.get(&asked.mac?)?.name.clone();
    let waist = plane.waist.clone();
    let event = Event {
        system,
        epoch: None,
        kind: EventKind::Fetched {
            name: artefact.id.name.clone(),
            size: artefact.size,
            via: "http".to_string(),
        },
    };
    Some(Box::new(move || waist.note(event)))
}

/// UEFI HTTP boot goes by the type, or failing that by the suffix (EDK2 `HttpBootClient.c`).
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("efi") => "application/efi",
        Some("iso") => "application/vnd.efi-iso",
        Some("img") => "application/vnd.efi-img",
        _ => "application/octet-stream",
    }
}
