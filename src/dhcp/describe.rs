//! One step of a conversation as a sentence, for `farrier why` and the log.

use std::fmt::Write;

use dhcproto::v4::{MessageType, OptionCode};

use super::conversation::{Answer, Outcome, Silence};
use super::reply::{Reply, Value};
use super::request::{Class, Request};
use crate::model::{Action, ClientStage};

/// `DISCOVER from uefi firmware: offered 10.77.0.11; boot: snponly.efi, because it is flagged..`.
pub fn describe(request: &Request<'_>, answer: &Answer<'_>) -> String {
    let mut text = String::with_capacity(160);
    let firmware = answer.facts.firmware;
    let word = firmware.map_or("unknown", |f| f.word());
    let _infallible = match answer.facts.stage {
        ClientStage::Ipxe => write!(text, "{} from iPXE ({word}): ", kind(request.kind)),
        ClientStage::Os => write!(text, "{} from {}: ", kind(request.kind), program(request)),
        _ => {
            let http = if request.class == Class::Http {
                ", HTTP boot"
            } else {
                ""
            };
            write!(text, "{} from {word} firmware{http}: ", kind(request.kind))
        }
    };
    match &answer.outcome {
        Outcome::Silent(why) | Outcome::Record(_, why) => {
            let _infallible = write!(text, "{why}");
        }
        Outcome::Check(ip) => {
            let _infallible = write!(text, "whether {ip} is in use is being checked");
        }
        Outcome::Reply(reply) | Outcome::Commit(_, reply) => outcome(&mut text, reply, answer),
    }
    text
}

fn outcome(text: &mut String, reply: &Reply<'_>, answer: &Answer<'_>) {
    let given = reply.yiaddr;
    let _infallible = match reply.kind {
        MessageType::Nak => write!(text, "refused, the address is not for it"),
        _ if given.is_unspecified() => write!(text, "told without an address"),
        MessageType::Offer => write!(text, "offered {given}"),
        _ => write!(text, "acknowledged {given}"),
    };
    let file = reply.options.iter().find_map(|(code, value)| match value {
        Value::Name(name, _) if *code == OptionCode::BootfileName => Some(name.as_str()),
        _ => None,
    });
    let Some(decision) = &answer.decision else {
        return;
    };
    // Firmware that is told to boot without a name (a Raspberry Pi) has names of its own.
    let told = reply
        .options
        .iter()
        .any(|(code, _)| *code == OptionCode::ClassIdentifier);
    let _infallible = match (file, &decision.action) {
        (Some(file), _) => write!(text, "; boot: {file}, because {}", decision.why),
        (None, _) if answer.facts.stage == ClientStage::Os => Ok(()),
        (None, Action::Boot(_)) if told => {
            write!(text, "; boot: its own names, because {}", decision.why)
        }
        (None, Action::Boot(_)) => write!(text, "; no boot: {}", Silence::NoLoader),
        (None, _) => write!(text, "; no boot: {}", decision.why),
    };
}

/// What an operating system's client calls itself, as far as that is printable.
fn program(request: &Request<'_>) -> String {
    match request.raw_class.as_deref() {
        Some(class) => {
            let text = String::from_utf8_lossy(class);
            format!("`{}`", crate::model::event::printable(&text, 40))
        }
        None => "an operating system".to_string(),
    }
}

/// The word for whom an address was acknowledged to, in events.
pub fn client(request: &Request<'_>, stage: ClientStage) -> &'static str {
    match stage {
        ClientStage::Ipxe => "ipxe",
        // Debian's installer calls its client that.
        ClientStage::Os if request.raw_class.as_deref() == Some(b"d-i") => "installer",
        ClientStage::Os => "system",
        _ => "firmware",
    }
}

fn kind(kind: MessageType) -> &'static str {
    match kind {
        MessageType::Discover => "DISCOVER",
        MessageType::Request => "REQUEST",
        MessageType::Decline => "DECLINE",
        MessageType::Release => "RELEASE",
        MessageType::Inform => "INFORM",
        _ => "a message",
    }
}
