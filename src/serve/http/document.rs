//! `/b/TOKEN/NAME`: the documents of a build.

use bytes::Bytes;

use super::body::Source;
use super::machine::{Answer, Asked, MachinePlane};
use super::reply::{self, Served};
use crate::boot::Scope;
use crate::control::{Authorised, served_document};
use crate::model::{Digest, Event, EventKind, MacAddr};

/// One document, with its tokens filled in. That it was fetched is durable before a byte of it
/// leaves; fetching it again is fine, installers do.
pub(super) async fn document(
    plane: &MachinePlane,
    asked: &Asked,
    token: &str,
    name: &str,
) -> Answer {
    let Some(granted) = admit(plane, asked, token, Scope::Read) else {
        return reply::not_found().into();
    };
    give(plane, asked, &granted, name).await
}

/// `/mine/NAME`, and what OpenBSD's installer asks for: a document of the machine that asks, for
/// installers that are told no address with a token in it. The address that it asks from must be its
/// own, and `claimed`, the hardware addresses that it gives as its own, must have one of the system's
/// among them.
pub(super) async fn mine(
    plane: &MachinePlane,
    asked: &Asked,
    name: &str,
    claimed: &[MacAddr],
) -> Answer {
    let Some(granted) = own_build(plane, asked) else {
        return Answer::remark(
            reply::not_found(),
            "no build that may be read is open for its address",
        );
    };
    let agrees = granted
        .system
        .as_ref()
        .is_some_and(|s| claimed.iter().any(|mac| s.interface(*mac).is_some()));
    if !claimed.is_empty() && !agrees {
        tracing::warn!(client.address = %asked.from, "an answer was asked for with hardware addresses of another machine");
        return Answer::remark(
            reply::not_found(),
            "the hardware address is another machine's",
        );
    }
    give(plane, asked, &granted, name).await
}

/// The build of whoever holds the asking address, while its documents are open.
pub(super) fn own_build(plane: &MachinePlane, asked: &Asked) -> Option<Authorised> {
    let key = plane.waist.open_build(asked.mac?)?;
    let token = plane.waist.key().token(&key, Scope::Read);
    admit(plane, asked, token.reveal(), Scope::Read)
}

/// Sends a document. What the loader hands to the kernel tells nothing of the installer; every other
/// is its first sign of life, and one kind of answer is the permit to write.
async fn give(plane: &MachinePlane, asked: &Asked, granted: &Authorised, name: &str) -> Answer {
    let Some(document) = granted.pinned.documents.get(name).filter(|d| !d.secret) else {
        return Answer::remark(reply::not_found(), "the build has no such document");
    };
    if !asked.looks_only()
        && let Some(kind) = fetched(granted, name)
    {
        let event = Event {
            system: granted.build.key.system.clone(),
            epoch: Some(granted.build.key.epoch),
            kind,
        };
        if let Err(error) = plane.waist.tell(event).await {
            return Answer::remark(reply::not_told(&error), error.to_string());
        }
    }
    let bytes = served_document(document, plane.waist.key(), &granted.build.key);
    let served = Served {
        size: bytes.len() as u64,
        etag: Some(reply::etag(&Digest::of(&bytes))),
        source: Source::Memory(Bytes::from(bytes)),
        content_type: document.content_type.clone(),
        at_end: None,
    };
    served.reply(&asked.headers).into()
}

/// What fetching a document says, if anything.
pub(in crate::serve) fn fetched(granted: &Authorised, name: &str) -> Option<EventKind> {
    let pinned = &granted.pinned;
    if pinned.kind.permitting_answer() == Some(name) {
        return Some(EventKind::WritePermitted {
            disk: format!("the one that {name} names"),
            contents: "not reported".to_string(),
            known: Vec::new(),
        });
    }
    (!pinned.way.loads(name)).then(|| EventKind::AnswerFetched { name: name.into() })
}

/// Whose token this is, if it is good for this, now, and from here.
pub(super) fn admit(
    plane: &MachinePlane,
    asked: &Asked,
    token: &str,
    scope: Scope,
) -> Option<Authorised> {
    let granted = plane.waist.authorise(token, scope)?;
    granted.system.as_ref()?;
    if !plane.waist.is_home_of(asked.from, &granted, scope) {
        plane.waist.misused(&granted, asked.from);
        return None;
    }
    Some(granted)
}
