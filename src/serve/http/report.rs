//! `/r/TOKEN/VERB`: what the installer reports.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::document::admit;
use super::machine::{Answer, Asked, MachinePlane, Speech};
use super::{bundle, reply, status};
use crate::boot::Scope;
use crate::boot::paths::{SecureUrls, percent_decoded};
use crate::control::Authorised;
use crate::lifecycle::disks::{self, Permission, ReportedDisk};
use crate::lifecycle::log::without_tokens;
use crate::lifecycle::only_last_words;
use crate::model::{BuildKey, Event, EventKind, Phase, Stage};

const VERBS: [&str; 9] = [
    "start", "disks", "progress", "end", "fail", "log", "handoff", "status", "bundle",
];
/// What a failed installer may still say; all else that it reports is over.
const LAST_WORDS: [&str; 3] = ["fail", "log", "bundle"];
/// Most bytes of a report.
pub(super) const MOST: usize = 64 * 1024;
/// How long a report may take to come in.
const PATIENCE: Duration = Duration::from_secs(30);
/// Characters kept of what a machine says.
const DETAIL: usize = 4000;

/// Takes one report down. 200 means that it is durable; a report said twice is 200 twice.
pub(super) async fn report(
    plane: &MachinePlane,
    asked: &Asked,
    token: &str,
    verb: &str,
    stage: Option<&str>,
    body: Body,
) -> Answer {
    let Some(granted) = admit(plane, asked, token, Scope::Report) else {
        return reply::not_found().into();
    };
    let over = only_last_words(&granted.build) && !LAST_WORDS.contains(&verb);
    if !VERBS.contains(&verb) || over {
        return reply::not_found().into();
    }
    // Some installers have a client that can only GET (those of the BSDs).
    let tells = asked.query("detail").is_some_and(|d| !d.is_empty());
    let by_get = asked.method == Method::GET
        && match verb {
            "start" | "progress" => true,
            "end" | "fail" => tells,
            _ => false,
        };
    if !by_get && asked.method != Method::POST {
        return reply::wrong_method("POST").into();
    }
    match verb {
        "status" => return status::status(plane, asked, &granted, body).await,
        "bundle" => return bundle::bundle(plane, asked, &granted, body).await,
        _ => {}
    }
    if by_get && let Some(why) = not_meant(asked, &granted, verb) {
        return Answer::remark(reply::text(StatusCode::CONFLICT, format!("{why}\n")), why);
    }
    let said = if by_get {
        let said = asked.query("detail").unwrap_or("");
        percent_decoded(said).unwrap_or_else(|| said.to_string())
    } else {
        match read(asked, body).await {
            Ok(said) => said,
            Err(response) => return response.into(),
        }
    };
    let detail = || tail(&said);
    let stage = Stage::clean(stage.unwrap_or("install"));
    match verb {
        "start" => {
            told(
                plane,
                &granted,
                EventKind::InstallerStarted { detail: detail() },
            )
            .await
        }
        "progress" => {
            let kind = EventKind::Progress {
                stage,
                detail: detail(),
            };
            told(plane, &granted, kind).await
        }
        "end" => told(plane, &granted, EventKind::InstallerEnded).await,
        "fail" => {
            if let Err(answer) = kept(plane, &granted, "report", &said).await {
                return answer;
            }
            let kind = EventKind::InstallerFailed {
                stage,
                detail: detail(),
            };
            told(plane, &granted, kind).await
        }
        "disks" => choose_disk(plane, &granted, &said).await,
        "log" => match kept(plane, &granted, "report", &said).await {
            Ok(()) => reply::ok().into(),
            Err(answer) => answer,
        },
        "handoff" => hand_off(plane, asked, &granted).await,
        _ => reply::not_found().into(),
    }
}

/// Why a GET is not taken for a report. A URL in an answer file may be fetched by something that is no
/// installer: a proxy that looks ahead, a scanner. It says so itself, or asks for a part, or comes
/// before the installer has shown any other sign of life. What ends a build must besides tell
/// something (`?detail=`), which no URL in an answer file does. Said twice, a report changes nothing.
fn not_meant(asked: &Asked, granted: &Authorised, verb: &str) -> Option<&'static str> {
    let has = |name: &str| asked.headers.get(name).and_then(|v| v.to_str().ok());
    let purposes = ["purpose", "sec-purpose", "x-purpose", "x-moz"];
    let looks_ahead = |v: &str| {
        ["prefetch", "prerender", "preview"]
            .iter()
            .any(|w| v.contains(w))
    };
    if purposes
        .iter()
        .filter_map(|name| has(name))
        .any(looks_ahead)
    {
        return Some("a report is not for looking ahead");
    }
    if has("range").is_some()
        || has("if-none-match").is_some()
        || has("if-modified-since").is_some()
    {
        return Some("a report has no parts and no versions");
    }
    let ends = matches!(verb, "end" | "fail");
    let alive = matches!(granted.build.phase, Phase::Installing | Phase::Installed);
    (ends && !alive).then_some("nothing was heard of the installer yet")
}

/// Answers which disk may be written. That is durable before the machine hears it.
async fn choose_disk(plane: &MachinePlane, granted: &Authorised, said: &str) -> Answer {
    let pinned = &granted.pinned;
    let chosen = disks::parse(said).and_then(|found| {
        let permission = Permission {
            may_destroy: &pinned.may_destroy,
            wipe: pinned.wipe,
            unfinished: &granted.build.unfinished,
        };
        let chosen = match &pinned.second {
            None => Vec::from([disks::choose(&pinned.disk, permission, &found)?]),
            Some(second) => disks::choose_two(&pinned.disk, second, permission, &found)?.to_vec(),
        };
        let told = |disk: &&ReportedDisk| (disk.path.clone(), disk.holds());
        let told: (Vec<String>, Vec<String>) = chosen.iter().map(told).unzip();
        let known = chosen.iter().filter_map(|disk| disk.identity());
        Ok((told, known.collect()))
    });
    let (kind, response) = match chosen {
        Ok(((paths, contents), known)) => {
            let keys = ["disk", "second"].iter().zip(&paths);
            let lines: String = keys.map(|(key, path)| format!("{key}={path}\n")).collect();
            let (disk, contents) = (paths.join(", "), contents.join("; "));
            let kind = EventKind::WritePermitted {
                disk,
                contents,
                known,
            };
            (kind, reply::text(StatusCode::OK, lines))
        }
        Err(reason) => {
            let line = format!("{reason}\n");
            let kind = EventKind::WriteRefused { reason };
            (kind, reply::text(StatusCode::CONFLICT, line))
        }
    };
    let remark = kind.detail();
    match tell(plane, granted, kind).await {
        Ok(()) => Answer::remark(response, remark),
        Err(answer) => answer,
    }
}

/// Where the first-boot unit finds its hand-off: said only to an installer that is at work, and in
/// no answer file. From then on it can be redeemed, so that it was asked for is durable first.
async fn hand_off(plane: &MachinePlane, asked: &Asked, granted: &Authorised) -> Answer {
    if asked.speech == Speech::Plain {
        let sentence = "ask over HTTPS, as first-boot.sh does: anyone could read the answer here\n";
        return reply::text(StatusCode::FORBIDDEN, sentence).into();
    }
    if !matches!(granted.build.phase, Phase::Installing | Phase::Installed) {
        return reply::not_found().into();
    }
    if let Err(answer) = tell(plane, granted, EventKind::HandoffAsked).await {
        return answer;
    }
    let token = plane.waist.key().token(&granted.build.key, Scope::Secret);
    let urls = SecureUrls {
        server: asked.urls.server,
    };
    let url = urls.handoff(token.reveal());
    reply::text(StatusCode::OK, format!("handoff={url}\n")).into()
}

async fn told(plane: &MachinePlane, granted: &Authorised, kind: EventKind) -> Answer {
    let remark = kind.detail();
    match tell(plane, granted, kind).await {
        Ok(()) => Answer::remark(reply::ok(), remark),
        Err(answer) => answer,
    }
}

/// Tells the waist something about the build that a token stands for.
pub(super) async fn tell(
    plane: &MachinePlane,
    granted: &Authorised,
    kind: EventKind,
) -> Result<(), Answer> {
    let event = Event {
        system: granted.build.key.system.clone(),
        epoch: Some(granted.build.key.epoch),
        kind,
    };
    match plane.waist.tell(event).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Answer::remark(reply::not_told(&error), error.to_string())),
    }
}

/// Keeps the end of a log with its build.
pub(super) async fn kept(
    plane: &MachinePlane,
    granted: &Authorised,
    source: &str,
    log: &str,
) -> Result<(), Answer> {
    let kept = plane.waist.keep_log(&granted.build.key, source, log).await;
    kept.map_err(|error| Answer::remark(reply::not_told(&error), error.to_string()))
}

/// Large bodies that are in memory at once.
static LARGE: Semaphore = Semaphore::const_new(8);
/// The one place that each build has among them, of those that have or want it now.
static OWN: LazyLock<Mutex<HashMap<BuildKey, Arc<Semaphore>>>> = LazyLock::new(Mutex::default);

/// A place for a large body.
#[derive(Debug)]
pub(super) struct Place {
    _own: OwnedSemaphorePermit,
    _any: SemaphorePermit<'static>,
}

/// A place for a body that is larger than a report, or does not say; none is needed for a small one.
/// A build has one: a machine that sends many, and slowly, waits for itself.
pub(super) async fn large(asked: &Asked, build: &BuildKey) -> Result<Option<Place>, Response> {
    if asked.announces().is_some_and(|n| n <= MOST as u64) {
        return Ok(None);
    }
    let own = {
        let mut all = OWN.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, own| Arc::strong_count(own) > 1);
        let one = || Arc::new(Semaphore::new(1));
        all.entry(build.clone()).or_insert_with(one).clone()
    };
    let place = async {
        let own = own.acquire_owned().await.ok()?;
        let any = LARGE.acquire().await.ok()?;
        Some(Place {
            _own: own,
            _any: any,
        })
    };
    match tokio::time::timeout(PATIENCE, place).await {
        Ok(Some(place)) => Ok(Some(place)),
        _ => Err(reply::text(StatusCode::SERVICE_UNAVAILABLE, "too busy\n")),
    }
}

/// The body as text, whatever its bytes are.
pub(super) async fn read(asked: &Asked, body: Body) -> Result<String, Response> {
    let bytes = read_most(asked, body, MOST).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The body, if it is no longer than `most` bytes.
pub(super) async fn read_most(asked: &Asked, body: Body, most: usize) -> Result<Bytes, Response> {
    let too_large = || {
        let sentence = format!("at most {} KiB\n", most / 1024);
        reply::text(StatusCode::PAYLOAD_TOO_LARGE, sentence)
    };
    if asked.announces().is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(PATIENCE, axum::body::to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_limit(&error) => Err(too_large()),
        Ok(Err(_)) => Err(reply::text(
            StatusCode::BAD_REQUEST,
            "the body was cut off\n",
        )),
        Err(_) => Err(reply::text(StatusCode::REQUEST_TIMEOUT, "too slow\n")),
    }
}

fn is_limit(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|s| s.is::<http_body_util::LengthLimitError>())
}

/// The last [`DETAIL`] characters, without control characters other than line breaks and without the
/// tokens of a build's addresses: it is kept with an event.
pub(super) fn tail(text: &str) -> String {
    // Before it is cut: a token without its beginning looks like any other word.
    let text = without_tokens(text.trim());
    let skip = text.chars().count().saturating_sub(DETAIL);
    text.chars()
        .skip(skip)
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_short_and_holds_no_token() {
        let token = "k".repeat(43);
        let log = format!("  fetch http://10.77.0.1/b/{token}/x\r\n\tcurl: (22)\n");
        assert_eq!(
            tail(&log),
            "fetch http://10.77.0.1/b/../x \n curl: (22)",
            "with its line breaks"
        );
        assert_eq!(tail(&"é".repeat(5000)), "é".repeat(DETAIL));
        // where it is cut, in the middle of a token
        let cut = format!("/r/{token}/{}", "x".repeat(DETAIL - 20));
        let kept = tail(&cut);
        assert!(kept.starts_with("/r/../xxx"), "{}", &kept[..40]);
    }
}
