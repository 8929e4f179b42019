//! The question "is another DHCP server here?" and its answers, as bytes.

use std::net::Ipv4Addr;

use dhcproto::v4::{MAGIC, MIN_PACKET_SIZE, MessageType, OptionCode};

use super::wire::{HEADER, LARGEST, suboptions};
use crate::model::MacAddr;

/// A server that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherServer {
    /// The server identifier it gave, else where its answer came from.
    pub server: Ipv4Addr,
    /// The address it offered; none from a server that only has boot data.
    pub offered: Option<Ipv4Addr>,
}

/// A DISCOVER that any server answers by broadcast. It says PXEClient, so that proxies answer too.
pub fn discover(mac: MacAddr, xid: u32) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    out[..3].copy_from_slice(&[1, 1, 6]);
    out[4..8].copy_from_slice(&xid.to_be_bytes());
    out[10] = 0x80;
    out[28..34].copy_from_slice(&mac.0);
    out[236..].copy_from_slice(&MAGIC);
    let class = b"PXEClient:Arch:00000:UNDI:002001";
    let options: [(OptionCode, &[u8]); 4] = [
        (OptionCode::MessageType, &[1]),
        (OptionCode::ParameterRequestList, &[1, 3, 6, 54, 66, 67]),
        (OptionCode::ClassIdentifier, class),
        (OptionCode::ClientSystemArchitecture, &[0, 0]),
    ];
    for (code, value) in options {
        // each is short
        out.extend_from_slice(&[code.into(), value.len() as u8]);
        out.extend_from_slice(value);
    }
    out.push(OptionCode::End.into());
    out.resize(MIN_PACKET_SIZE, 0);
    out
}

/// The server that an answer with this transaction id comes from.
pub fn server(bytes: &[u8], source: Ipv4Addr, xid: u32) -> Option<OtherServer> {
    let fits = (HEADER..=LARGEST).contains(&bytes.len());
    if !fits || bytes[0] != 2 || bytes[4..8] != xid.to_be_bytes() || bytes[236..HEADER] != MAGIC {
        return None;
    }
    let find = |wanted: OptionCode| {
        suboptions(&bytes[HEADER..])
            .find(|(code, _)| *code == u8::from(wanted))
            .map(|(_, value)| value)
    };
    if find(OptionCode::MessageType)? != [u8::from(MessageType::Offer)] {
        return None;
    }
    let given = Ipv4Addr::new(bytes[16], bytes[17], bytes[18], bytes[19]);
    Some(OtherServer {
        server: find(OptionCode::ServerIdentifier)
            .and_then(super::wire::address)
            .unwrap_or(source),
        offered: Some(given).filter(|ip| !ip.is_unspecified()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rig, STRANGER};
    use super::*;
    use crate::model::UnknownAction;

    #[test]
    fn our_own_server_would_be_found() {
        let mut rig = Rig::new();
        let ask = discover(STRANGER.parse().expect("a mac"), 7);
        assert_eq!(rig.send(&ask).word, "silent");
        rig.site.unknown = UnknownAction::Local;
        let answer = rig.send(&ask);
        let source = Ipv4Addr::new(10, 77, 0, 9);
        let found = server(&answer.bytes, source, 7).expect("an answer");
        assert_eq!(found.server, Ipv4Addr::new(10, 77, 0, 1));
        assert_eq!(found.offered, Some(Ipv4Addr::new(10, 77, 0, 100)));
        assert_eq!(server(&answer.bytes, source, 8), None);
        assert_eq!(server(&answer.bytes[..239], source, 7), None);
        assert_eq!(server(&ask, source, 7), None);
    }
}
