//! `/t/DIGEST/DISTRO/NAME/PATH`: the files of an installation medium, out of the medium itself.
//!
//! Nothing was unpacked: a path is looked up among those on the medium, and the bytes are a part of its
//! file. Directories are not listed, but by an `index.txt` where a medium has none: OpenBSD's installer
//! learns from it which sets there are, and its media lack it.

use std::fs::File;
use std::sync::Arc;

use axum::http::StatusCode;

use super::body::Source;
use super::machine::{Answer, Asked, MachinePlane};
use super::reply::{self, Served};
use crate::image::disc::Tree;
use crate::lifecycle::observed::of_mirror;
use crate::model::{ArtefactRef, Event, EventKind, Stage};

pub(super) async fn tree(
    plane: &MachinePlane,
    asked: &Asked,
    id: &ArtefactRef,
    digest: &str,
    path: &str,
) -> Answer {
    let index = plane.waist.artefacts();
    let Some(medium) = index.exact(&id.distro, &id.name, digest).cloned() else {
        return Answer::remark(reply::not_found(), "the medium is not on this server");
    };
    let tree = match plane.hot.tree(&medium).await {
        Ok(tree) => tree,
        Err(error) => {
            tracing::error!(artefact.path = %medium.path.display(), %error, "a medium cannot be read");
            return Answer::remark(reply::not_found(), error.to_string());
        }
    };
    let (begin, size) = match tree.file(path) {
        None => {
            return match listing(&tree, path) {
                Some(list) => reply::text(StatusCode::OK, list).into(),
                None => Answer::remark(reply::not_found(), "it is not on the medium"),
            };
        }
        Some([]) => (0, 0),
        Some([one]) => (one.offset, one.size),
        Some(_) => {
            let sentence = "this file lies in pieces on the medium and is not served\n";
            return reply::text(StatusCode::NOT_FOUND, sentence).into();
        }
    };
    let file = tokio::task::spawn_blocking(move || File::open(&medium.path)).await;
    let file = match file.map_err(std::io::Error::other).and_then(|f| f) {
        Ok(file) => Arc::new(file),
        Err(error) => return Answer::remark(reply::not_found(), error.to_string()),
    };
    if !asked.looks_only() {
        note(plane, asked, path);
    }
    let served = Served {
        source: Source::Slice(file, begin),
        size,
        // The medium never changes under its digest, and no two files of it begin at one byte unless
        // they are the same.
        etag: Some(format!("\"{digest}-{begin:x}-{size:x}\"")),
        content_type: "application/octet-stream".to_string(),
        at_end: None,
    };
    served.reply(&asked.headers).into()
}

/// Files that a list has at most: no installer's folder of sets has more.
const LISTED: usize = 1000;

/// The list of a directory's files, in the form that OpenBSD's mirrors have.
fn listing(tree: &Tree, path: &str) -> Option<String> {
    let files = tree.directory(path.strip_suffix("/index.txt")?)?;
    let plain = |name: &str| name.bytes().all(|b| b.is_ascii_graphic());
    let line = |(name, size): &(&str, u64)| {
        format!("-rw-r--r--  1 0  0  {size} Jan  1 00:00:00 1970 {name}\n")
    };
    let files = files.iter().filter(|(name, _)| plain(name));
    let list: Vec<String> = files.map(line).take(LISTED + 1).collect();
    (1..=LISTED).contains(&list.len()).then(|| list.concat())
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
            by: "media".to_string(),
        },
    });
}
