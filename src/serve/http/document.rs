//! `/b/TOKEN/NAME`: the documents of a build.

use bytes::Bytes;

use super::body::Source;
use super::machine::{Answer, Asked, MachinePlane};
use super::reply::{self, Served};
use crate::boot::Scope;
use crate::control::{Authorised, served_document};
use crate::model::{Digest, Event, EventKind};

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
    let Some(document) = granted.pinned.documents.get(name).filter(|d| !d.secret) else {
        return Answer::remark(reply::not_found(), "the build has no such document");
    };
    if !asked.looks_only() {
        let event = Event {
            system: granted.build.key.system.clone(),
            epoch: Some(granted.build.key.epoch),
            kind: EventKind::AnswerFetched { name: name.into() },
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

/// Whose token this is, if it is good for this, now, and from here.
pub(super) fn admit(
    plane: &MachinePlane,
    asked: &Asked,
    token: &str,
    scope: Scope,
) -> Option<Authorised> {
    let granted = plane.waist.authorise(token, scope)?;
    let system = granted.system.as_ref()?;
    if !plane.waist.is_home_of(asked.from, &granted, scope) {
        tracing::warn!(
            client.address = %asked.from,
            machine.name = %system.name,
            "a good token was used from an address that its machine does not hold"
        );
        return None;
    }
    Some(granted)
}
