//! Boot data without addresses: proxy mode on port 67, and port 4011 in every mode (PXE 2.1).

use dhcproto::v4::MessageType;

use super::conversation::{Outcome, Silence, Turn};
use super::reply::{Parts, compose};
use crate::model::{Action, ClientStage, Door};

/// In proxy mode silence means "boot your own disk": whoever is not to be booted hears nothing,
/// and firmware falls through to its next choice.
pub(super) fn answer<'a>(turn: &mut Turn<'a, '_, '_>) -> Outcome<'a> {
    let request = turn.request;
    let kind = match (turn.place.door, request.kind) {
        (Door::Proxy, MessageType::Request | MessageType::Inform) => MessageType::Ack,
        (Door::Proxy, _) => return Outcome::Silent(Silence::Kind),
        (_, MessageType::Discover) => MessageType::Offer,
        // The other server's business, except that a boot client may ask in this way too.
        (_, MessageType::Inform) => MessageType::Ack,
        (_, _) => return Outcome::Silent(Silence::OtherServer),
    };
    if turn.facts.stage == ClientStage::Os {
        return Outcome::Silent(Silence::NotBooting);
    }
    if kind == MessageType::Offer {
        turn.table.recent.discovered(request, turn.facts, turn.now);
    }
    let Some(Action::Boot(_)) = turn.decision.map(|d| &d.action) else {
        return Outcome::Silent(Silence::OwnDisk);
    };
    let subnet = match request.ciaddr {
        Some(ip) => turn.site.subnet_of(ip),
        None => turn.subnets().next(),
    };
    let Some(mut boot) = turn.boot(subnet, true) else {
        return Outcome::Silent(Silence::NoLoader);
    };
    if let Some(item) = request.boot_item {
        // It chose from a boot menu: the choice is echoed (PXE 2.1, table 2-5).
        let mut vendor = vec![71, 4];
        vendor.extend_from_slice(&item);
        vendor.push(255);
        boot.vendor_options = Some(vendor.into());
    }
    if kind == MessageType::Offer && turn.facts.stage == ClientStage::Ipxe {
        // There is no ACK of ours in proxy mode: the offer counts.
        turn.table
            .recent
            .acknowledged(request, boot.chained, turn.now);
    }
    Outcome::Reply(compose(
        request,
        Parts {
            kind,
            server: turn.place.server(subnet),
            address: None,
            subnet: None,
            lease: None,
            name: None,
            boot: Some(boot),
            proxy: true,
        },
    ))
}
