//! A flight from start to end: ask upstream, take the bytes in, keep what ended well.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use futures_lite::future::poll_once;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED, TRANSFER_ENCODING,
};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::watch;

use super::budget::{Budget, Room};
use super::cache::{Inner, open};
use super::entry::{Entry, Head, commit};
use super::flight::{State, Transfer};
use super::path::{Class, MirrorPath};
use super::promise::Witness;
use super::upstream::Upstream;
use crate::artefacts::client::reason;
use crate::model::Digest;

/// One write takes at most so many bytes, and one piece more.
const BATCH: usize = 512 * 1024;
/// After so many bytes the disk is asked again whether it has room.
const STEP: u64 = 64 * 1024 * 1024;
/// Makes temporary names differ.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Brings `at` up to date and tells `state` of every step. The last state is final.
pub(super) async fn fly(
    cache: &Inner,
    client: IpAddr,
    upstream: &Upstream,
    path: &MirrorPath,
    at: &Path,
    state: &watch::Sender<State>,
) {
    let entry = open(at).await;
    if let Some(entry) = &entry
        && (cache.fresh(upstream, path, entry) || upstream.is_down())
    {
        state.send_replace(State::Here(entry.clone()));
        return;
    }
    let Ok(_turn) = upstream.turns.take(client).await else {
        // an old copy is better than none
        state.send_replace(entry.map_or(State::Busy, State::Here));
        return;
    };
    let known = entry.as_ref().map(|e| e.head.as_ref());
    cache.count(|c| c.asked += 1);
    let asked = upstream.ask(Method::GET, path, known).await;
    let end = match asked {
        Ok(response) => match (response.status(), &entry) {
            (StatusCode::OK, _) => {
                receive(cache, upstream, path, at, response, &entry, state).await
            }
            (StatusCode::NOT_MODIFIED, Some(entry)) => {
                entry.validate(SystemTime::now());
                Ok(State::Here(entry.clone()))
            }
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => {
                // upstream took it away; so does the cache
                if entry.is_some() {
                    let _ = std::fs::remove_file(at);
                }
                Ok(State::Absent)
            }
            // a redirect that was not followed leads to a listing
            (status, _) if status.is_redirection() => Ok(State::Absent),
            (status, _) => Err(format!("it answers {status}")),
        },
        Err(why) => Err(why),
    };
    let end = end.unwrap_or_else(|why| {
        let url = upstream.url(path);
        // readers of a transfer that began must learn that it broke off
        let began = matches!(*state.borrow(), State::Growing(_));
        match entry {
            Some(entry) if !began => {
                tracing::warn!(url, why, "upstream fails, an old copy is served");
                State::Here(entry)
            }
            _ => {
                tracing::warn!(url, why, "upstream fails");
                State::Failed(why)
            }
        }
    });
    state.send_replace(end);
}

/// Takes a file in. Readers follow; it is kept if it came whole and is what its name promises.
async fn receive(
    cache: &Inner,
    upstream: &Upstream,
    path: &MirrorPath,
    at: &Path,
    mut response: Response,
    before: &Option<Entry>,
    state: &watch::Sender<State>,
) -> Result<State, String> {
    let headers = response.headers();
    let framed = headers.contains_key(CONTENT_LENGTH)
        || headers
            .get(TRANSFER_ENCODING)
            .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"chunked"));
    let mut head = head(upstream.url(path), headers);
    let expected = head.length.unwrap_or(0);
    if expected > cache.limits.largest {
        return Err(format!(
            "the file has {expected} bytes, which is more than is cached"
        ));
    }
    let mut room = ask(cache, head.length.unwrap_or_else(|| step(0))).await?;
    let mut asked = 0;
    let temp = Temp::create(&cache.dir).map_err(|e| format!("cannot make a file: {e}"))?;
    let mut transfer = Transfer {
        head: Arc::new(head.clone()),
        file: temp.file.clone(),
        ready: 0,
        whole: false,
    };
    state.send_replace(State::Growing(transfer.clone()));
    let mut witness = Witness::of(path.promise());
    let promised = !matches!(witness, Witness::None);
    let mut hasher = blake3::Hasher::new();
    let mut length = 0u64;
    while let Some(pieces) = batch(&mut response).await? {
        let here = length;
        for bytes in &pieces {
            hasher.update(bytes);
            witness.see(bytes);
            length += bytes.len() as u64;
        }
        if length > cache.limits.largest {
            return Err("the file is larger than is cached".to_string());
        }
        let came = length - here;
        cache.count(|c| c.taken += came);
        if head.length.is_some() {
            // its own bytes are promised; whether others left them is asked now and then
            if length - asked >= STEP {
                asked = length;
                room.join(ask(cache, 0).await?);
            }
        } else if room.left() < came {
            room.join(ask(cache, came.max(step(length))).await?);
        }
        write(&temp.file, pieces, here).await?;
        room.wrote(came);
        // the last byte waits for the verdict
        transfer.ready = length.saturating_sub(1);
        state.send_replace(State::Growing(transfer.clone()));
    }
    if head.length.is_some_and(|announced| announced != length) {
        return Err(format!("it sent {length} of {expected} bytes"));
    }
    if !witness.kept() {
        return Err("the content is not what its name promises".to_string());
    }
    head.length = Some(length);
    head.digest = Some(Digest(*hasher.finalize().as_bytes()));
    transfer.ready = length;
    transfer.whole = true;
    state.send_replace(State::Growing(transfer.clone()));
    // Without a frame or a promise, a cut transfer looks like a whole one: pass it on, keep it not.
    if framed || promised {
        let changed = before.as_ref().is_none_or(|b| b.head.digest != head.digest);
        if let Err(error) = temp.keep(at, &head).await {
            tracing::error!(path = %at.display(), %error, "a file was served but could not be kept");
        } else if changed && path.class() == Class::Head {
            cache.changed(upstream, path);
        }
        budget(cache, move |b, dir| b.add(dir, length)).await;
    }
    Ok(State::Growing(transfer))
}

/// How much a transfer that does not say its length asks for next: little at first, for most are
/// small.
fn step(length: u64) -> u64 {
    length.clamp(STEP / 64, STEP)
}

/// Asks for room for so many more bytes.
async fn ask(cache: &Inner, size: u64) -> Result<Room, String> {
    let (budget, dir) = (cache.budget.clone(), cache.dir.clone());
    let room = tokio::task::spawn_blocking(move || budget.room(&dir, size)).await;
    room.ok()
        .flatten()
        .ok_or_else(|| format!("the disk has no room for {size} more bytes"))
}

/// Asks the budget something on a thread that may block.
async fn budget<T: Default + Send + 'static>(
    cache: &Inner,
    ask: impl FnOnce(&Budget, &Path) -> T + Send + 'static,
) -> T {
    let (budget, dir) = (cache.budget.clone(), cache.dir.clone());
    let answer = tokio::task::spawn_blocking(move || ask(&budget, &dir)).await;
    answer.unwrap_or_default()
}

/// Waits for bytes, then takes along what has come besides: readers wait for nothing, and a fast
/// upstream costs few writes. None at the end.
async fn batch(response: &mut Response) -> Result<Option<Vec<Bytes>>, String> {
    let first = response.chunk().await.map_err(|e| reason(&e))?;
    let Some(first) = first else { return Ok(None) };
    let mut size = first.len();
    let mut pieces = vec![first];
    while size < BATCH {
        match poll_once(response.chunk()).await {
            Some(Ok(Some(bytes))) => {
                size += bytes.len();
                pieces.push(bytes);
            }
            // the next call meets an end again
            Some(Ok(None)) | None => break,
            Some(Err(error)) => return Err(reason(&error)),
        }
    }
    Ok(Some(pieces))
}

async fn write(file: &Arc<File>, pieces: Vec<Bytes>, mut at: u64) -> Result<(), String> {
    let file = file.clone();
    let write = move || {
        for bytes in pieces {
            file.write_all_at(&bytes, at)?;
            at += bytes.len() as u64;
        }
        Ok(())
    };
    let written = tokio::task::spawn_blocking(write).await;
    written
        .map_err(io::Error::other)
        .and_then(|w| w)
        .map_err(|e| format!("cannot write what comes in: {e}"))
}

/// What upstream says of a file.
pub(super) fn head(url: String, headers: &HeaderMap) -> Head {
    let text = |name: HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        (value.len() <= 1024).then(|| value.to_string())
    };
    Head {
        url,
        content_type: text(CONTENT_TYPE),
        last_modified: text(LAST_MODIFIED),
        etag: text(ETAG),
        length: text(CONTENT_LENGTH).and_then(|l| l.parse().ok()),
        digest: None,
    }
}

/// A file under way; gone unless it is kept.
struct Temp {
    path: PathBuf,
    file: Arc<File>,
}

impl Temp {
    fn create(dir: &Path) -> io::Result<Temp> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let path = dir.join("tmp").join(name);
        let options = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .clone();
        let file = Arc::new(options.open(&path)?);
        Ok(Temp { path, file })
    }

    async fn keep(&self, at: &Path, head: &Head) -> io::Result<()> {
        let (file, path) = (self.file.clone(), self.path.clone());
        let (at, head) = (at.to_path_buf(), head.clone());
        let kept = tokio::task::spawn_blocking(move || commit(&file, &path, &at, &head));
        kept.await.map_err(io::Error::other)?
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        // not there any more if it was kept
        let _ = std::fs::remove_file(&self.path);
    }
}
