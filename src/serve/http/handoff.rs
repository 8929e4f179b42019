//! `/h/TOKEN/VERB`, over TLS: the first-boot unit takes its hand-off and reports the agent's result.

use axum::body::Body;
use axum::http::header::RETRY_AFTER;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use zeroize::Zeroizing;

use super::document::admit;
use super::machine::{Answer, Asked, MachinePlane};
use super::reply;
use super::report::{kept, read, tail, tell};
use crate::boot::Scope;
use crate::control::{Authorised, TellError};
use crate::lifecycle::StepError;
use crate::lifecycle::log::clean;
use crate::model::event::{AgentReport, printable};
use crate::model::{Digest, Event, EventKind, Pinned};

/// The document that is the whole bundle, if a profile renders one.
const BUNDLE: &str = "bundle.sh";

pub(super) async fn handoff(
    plane: &MachinePlane,
    asked: &Asked,
    token: &str,
    verb: &str,
    body: Body,
) -> Answer {
    let Some(granted) = admit(plane, asked, token, Scope::Secret) else {
        return reply::not_found().into();
    };
    if asked.method != Method::POST {
        return reply::wrong_method("POST").into();
    }
    let said = match read(asked, body).await {
        Ok(said) => said,
        Err(response) => return response.into(),
    };
    match verb {
        "bundle" => bundle(plane, asked, &granted, &said).await,
        "result" => match result(&said) {
            Some(report) => {
                let report = truthful(report, &granted.pinned);
                if let Err(answer) = kept(plane, &granted, "first-boot", log_of(&said)).await {
                    return answer;
                }
                let remark = format!("{} {} (code {})", report.agent, report.class, report.code);
                let well = matches!(report.class.as_str(), "ok" | "changed");
                let kind = match &granted.pinned.push {
                    Some(_) if well => EventKind::PushDue(report),
                    _ => EventKind::AgentReported(report),
                };
                match tell(plane, &granted, kind).await {
                    Ok(()) => Answer::remark(reply::ok(), remark),
                    Err(answer) => answer,
                }
            }
            None => {
                let sentence = "the first line must be `agent=NAME code=N class=WORD seconds=N`\n";
                reply::text(StatusCode::BAD_REQUEST, sentence).into()
            }
        },
        "enrol" => enrol(plane, &granted, &said).await,
        _ => reply::not_found().into(),
    }
}

/// Takes the machine's public key. 200 means that the agent's server accepts it.
async fn enrol(plane: &MachinePlane, granted: &Authorised, key: &str) -> Answer {
    match plane.waist.enrol(&granted.build, key).await {
        Ok(()) => Answer::remark(reply::ok(), "enrolled"),
        Err((why, again)) => {
            let status = match again {
                true => StatusCode::SERVICE_UNAVAILABLE,
                false => StatusCode::CONFLICT,
            };
            tracing::warn!(machine.name = %granted.build.key.system, why, "an enrolment was refused");
            Answer::remark(reply::text(status, format!("{why}\n")), why)
        }
    }
}

/// Redeems the hand-off. The unit draws a random key and keeps it, so that a unit whose answer was
/// lost asks again and gets the same; anyone else is too late, and that is recorded.
async fn bundle(plane: &MachinePlane, asked: &Asked, granted: &Authorised, said: &str) -> Answer {
    let header = asked.headers.get("x-farrier-key");
    let header = header.and_then(|v| v.to_str().ok());
    let line = said.lines().find_map(|l| l.trim().strip_prefix("key="));
    let key = header.or(line).unwrap_or("").trim();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if !(16..=128).contains(&key.len()) || !key.bytes().all(plain) {
        let sentence = "send `key=RANDOM`: 16 to 128 letters, digits and hyphens\n";
        return reply::text(StatusCode::BAD_REQUEST, sentence).into();
    }
    let event = |kind| Event {
        system: granted.build.key.system.clone(),
        epoch: Some(granted.build.key.epoch),
        kind,
    };
    // Made before it counts as given out: a secret that is missing costs a retry and no redemption.
    let contents = match contents(plane, granted) {
        Ok(contents) => contents,
        Err(problem) => {
            tracing::error!(machine.name = %granted.build.key.system, %problem, "a hand-off cannot be given out");
            let mut response = reply::text(
                StatusCode::SERVICE_UNAVAILABLE,
                "the hand-off is not complete; try again\n",
            );
            reply::set(&mut response, RETRY_AFTER, "30");
            return Answer::remark(response, problem);
        }
    };
    let of = &granted.build.key;
    if let Some(binding) = plane.waist.binding(asked.from, &of.system, of.epoch)
        && let Err(error) = plane.waist.tell(binding).await
    {
        return Answer::remark(reply::not_told(&error), error.to_string());
    }
    // The key opens the hand-off again: what is kept and shown is its digest.
    let key = Digest::of(key.as_bytes()).to_string();
    match plane
        .waist
        .tell(event(EventKind::HandoffRedeemed { key }))
        .await
    {
        Ok(_) => Answer::remark(contents, "the hand-off"),
        Err(TellError::Refused(StepError::AlreadyRedeemed(system))) => {
            tracing::warn!(client.address = %asked.from, machine.name = %system, "a second redemption of a hand-off was refused");
            let reused = EventKind::HandoffReused { from: asked.from };
            if let Err(error) = plane.waist.tell(event(reused)).await {
                tracing::error!(%error, machine.name = %system, "the second redemption could not be recorded");
            }
            let sentence = "this hand-off was already redeemed\n";
            Answer::remark(reply::text(StatusCode::GONE, sentence), "already redeemed")
        }
        Err(error) => Answer::remark(reply::not_told(&error), error.to_string()),
    }
}

/// What the unit gets: `bundle.sh`, or a tar of every secret document.
///
/// # Errors
/// Which secret is missing.
fn contents(plane: &MachinePlane, granted: &Authorised) -> Result<Response, String> {
    let secret = || granted.pinned.documents.values().filter(|d| d.secret);
    let release = |d: &crate::model::Document| plane.waist.released(d, &granted.build.key);
    if let Some(document) = secret().find(|d| d.name == BUNDLE) {
        // Owned, so that the memory is wiped once it was sent.
        let bytes = Bytes::from_owner(release(document)?);
        return Ok(reply::bytes(StatusCode::OK, &document.content_type, bytes));
    }
    let mut archive = tar::Builder::new(Vec::new());
    for document in secret() {
        let bytes = release(document)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        if let Err(error) = archive.append_data(&mut header, &document.name, &bytes[..]) {
            tracing::error!(%error, document.name = %document.name, "a document does not fit into a tar");
        }
    }
    let bytes = Zeroizing::new(archive.into_inner().unwrap_or_default());
    let bytes = Bytes::from_owner(bytes);
    Ok(reply::bytes(StatusCode::OK, "application/x-tar", bytes))
}

/// A result as it counts. Whoever did not run what it was handed has not succeeded, whatever it says:
/// an image with another first boot, or a script of a profile's own that throws the bundle away. A
/// machine that this server plays against has nothing to run, and may say so.
fn truthful(mut report: AgentReport, pinned: &Pinned) -> AgentReport {
    let Some(agent) = &pinned.agent else {
        return report;
    };
    let idle = pinned.push.is_some() && report.agent == "none";
    if report.class != "failed" && report.agent != *agent && !idle {
        report.reason = Some(format!(
            "the first boot reports `{}` of `{}`, and was handed over to `{agent}`, which did not run",
            report.class, report.agent
        ));
        report.class = "failed".to_string();
    }
    report
}

/// What a result says after its head.
fn log_of(said: &str) -> &str {
    let ends = ["\n\n", "\r\n\r\n"];
    let parts = ends.iter().filter_map(|end| said.split_once(end));
    parts
        .map(|(_, log)| log)
        .max_by_key(|log| log.len())
        .unwrap_or("")
}

/// Reads a result: `agent=steps code=0 class=ok seconds=12`, lines `hostkey=..`, an empty line, the
/// tail of the log.
fn result(said: &str) -> Option<AgentReport> {
    let said = said.replace("\r\n", "\n");
    let (head, log) = said.split_once("\n\n").unwrap_or((&said, ""));
    let mut report = AgentReport {
        agent: String::new(),
        code: -1,
        class: String::new(),
        seconds: 0,
        reason: None,
        log: tail(log),
        host_keys: Vec::new(),
    };
    for line in head.lines() {
        if let Some(key) = line.strip_prefix("hostkey=") {
            if report.host_keys.len() < 16 {
                report.host_keys.push(printable(key, 2000));
            }
            continue;
        }
        if let Some(reason) = line.strip_prefix("reason=") {
            report.reason = Some(printable(&clean(reason), 500)).filter(|r| !r.is_empty());
            continue;
        }
        for (name, value) in line.split_whitespace().filter_map(|w| w.split_once('=')) {
            match name {
                "agent" => report.agent = printable(value, 32),
                "code" => report.code = value.parse().ok()?,
                "class" => report.class = printable(value, 16),
                "seconds" => report.seconds = value.parse().ok()?,
                _ => {}
            }
        }
    }
    let known = matches!(
        report.class.as_str(),
        "ok" | "changed" | "failed" | "reboot"
    );
    (known && !report.agent.is_empty()).then_some(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results() {
        let report = result(
            "agent=steps code=3 class=failed seconds=12\nhostkey=ssh-ed25519 AAAA root@web01\n\nline one\nline \u{1b}two\n",
        )
        .expect("a result");
        assert_eq!(
            (report.agent.as_str(), report.code, report.seconds),
            ("steps", 3, 12)
        );
        assert_eq!(report.host_keys, ["ssh-ed25519 AAAA root@web01"]);
        assert_eq!(report.log, "line one\nline  two");
        let token = "k".repeat(43);
        let said = format!(
            "agent=steps code=1 class=failed seconds=1\nreason=no /h/{token}/x\n\nGET /h/{token}/x\n"
        );
        let told = result(&said).expect("a result");
        assert_eq!(
            (told.reason.as_deref(), told.log.as_str()),
            (Some("no /h/../x"), "GET /h/../x")
        );
        let why = result("agent=puppet\ncode=4\nclass=failed\nreason=File[/x]: code=3 no\n\nlog")
            .expect("a result");
        assert_eq!(
            (why.code, why.reason.as_deref()),
            (4, Some("File[/x]: code=3 no"))
        );
        let short = result("agent=steps\ncode=0\nclass=ok\nseconds=1").expect("a result");
        assert_eq!((short.class.as_str(), short.log.as_str()), ("ok", ""));
        for bad in [
            "",
            "agent=steps code=x class=ok",
            "agent=steps code=0 class=fine",
            "class=ok",
        ] {
            assert!(result(bad).is_none(), "{bad}");
        }
    }
}
