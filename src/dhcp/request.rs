//! A DHCP request in our words.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use dhcproto::v4::{MessageType, OptionCode};

use super::wire::{self, Header, Options};
use crate::model::{Door, MacAddr, MachineId};

pub use super::wire::Malformed;

/// What a client, or a relay for it, sent. Borrows from the datagram.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// DISCOVER, REQUEST...
    pub kind: MessageType,
    /// Transaction id. Not unique, see [`Header::xid`].
    pub xid: u32,
    /// Seconds since the client began, as it says.
    pub secs: u16,
    /// Flags as sent.
    pub flags: u16,
    /// The client's own address: it has one and can be reached at it.
    pub ciaddr: Option<Ipv4Addr>,
    /// The relay that passed the request on.
    pub giaddr: Option<Ipv4Addr>,
    /// The hardware address: the identity.
    pub mac: MacAddr,
    /// Option 50.
    pub requested: Option<Ipv4Addr>,
    /// Option 54: the server it means.
    pub server: Option<Ipv4Addr>,
    /// Option 12 as sent; not necessarily text. [`Request::hostname`] cleans it.
    pub raw_hostname: Option<Cow<'a, [u8]>>,
    /// Option 60: who the client program says it is.
    pub class: Class,
    /// Option 60 as sent.
    pub raw_class: Option<Cow<'a, [u8]>>,
    /// The first code in option 93, else the one in the text of option 60.
    pub arch: Option<u16>,
    /// iPXE, and what it can do.
    pub ipxe: Option<Ipxe>,
    /// Option 97 as sent, echoed.
    pub uuid: Option<Cow<'a, [u8]>>,
    /// Option 61 as sent, echoed (RFC 6842) and otherwise ignored.
    pub client_id: Option<Cow<'a, [u8]>>,
    /// Option 82 as sent, echoed.
    pub relay: Option<Cow<'a, [u8]>>,
    /// What the relay says within it.
    pub relay_says: RelaySays,
    /// Option 118 (RFC 3011).
    pub subnet_selection: Option<Ipv4Addr>,
    /// Option 57: the largest message it takes, IP and UDP headers included.
    pub max_size: Option<u16>,
    /// Option 55: what it asks for.
    pub wants: Option<Cow<'a, [u8]>>,
    /// PXE boot item (option 43 sub-option 71), echoed on port 4011.
    pub boot_item: Option<[u8; 4]>,
}

/// The kind of client program, from option 60.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Firmware (or iPXE) that boots by PXE.
    Pxe,
    /// UEFI HTTP boot.
    Http,
    /// U-Boot, which reads siaddr and `pxelinux.cfg` by itself.
    UBoot,
    /// Something else, or nothing.
    Other,
}

/// What an iPXE says of itself in option 175.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ipxe {
    /// Feature 19: it can fetch by HTTP. Some ROMs cannot.
    pub http: bool,
}

/// Sub-options of option 82 that change the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelaySays {
    /// 5, link selection (RFC 3527): the client's subnet, where giaddr is only how to reach the relay.
    pub link: Option<Ipv4Addr>,
    /// 11, server identifier override (RFC 5107): the client is to think this is the server.
    pub server: Option<Ipv4Addr>,
    /// 19, relay source port (RFC 8357): answer to the port it sent from.
    pub source_port: bool,
}

/// Reads a datagram.
///
/// # Errors
/// What is wrong with it, if it cannot be answered at all. Anything odd in one option only makes
/// that option absent.
pub fn parse(bytes: &[u8]) -> Result<Request<'_>, Malformed> {
    let header = Header::read(bytes)?;
    let mut options = Options::read(bytes);
    let kind = match options.get(OptionCode::MessageType) {
        Some([kind]) => MessageType::from(*kind),
        _ => return Err(Malformed::MessageType),
    };
    let raw_class = options.take(OptionCode::ClassIdentifier);
    let relay = options.take(OptionCode::RelayAgentInformation);
    Ok(Request {
        kind,
        xid: header.xid,
        secs: header.secs,
        flags: header.flags,
        ciaddr: specified(header.ciaddr),
        giaddr: specified(header.giaddr),
        mac: header.mac,
        requested: options.address(OptionCode::RequestedIpAddress),
        server: options.address(OptionCode::ServerIdentifier),
        class: class(raw_class.as_deref().unwrap_or_default()),
        arch: arch(&options).or_else(|| class_arch(raw_class.as_deref()?)),
        raw_class,
        ipxe: ipxe(&options),
        relay_says: relay.as_deref().map(relay_says).unwrap_or_default(),
        relay,
        subnet_selection: options.address(OptionCode::SubnetSelection),
        max_size: match options.get(OptionCode::MaxMessageSize) {
            Some([high, low]) => Some(u16::from_be_bytes([*high, *low])),
            _ => None,
        },
        boot_item: options
            .get(OptionCode::VendorExtensions)
            .and_then(boot_item),
        uuid: options.take(OptionCode::ClientMachineIdentifier),
        client_id: options.take(OptionCode::ClientIdentifier),
        wants: options.take(OptionCode::ParameterRequestList),
        raw_hostname: options.take(OptionCode::Hostname),
    })
}

impl Request<'_> {
    /// The machine's own identifier: option 97, type 0 (RFC 4578 section 2.3).
    pub fn machine_id(&self) -> Option<MachineId> {
        let [0, id @ ..] = self.uuid.as_deref()? else {
            return None;
        };
        MachineId::read(id.try_into().ok()?)
    }

    /// Whether the client can only receive broadcasts until it has an address.
    pub fn broadcast(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// The host name it gave, made one label of letters, digits and hyphens; none if nothing is
    /// left.
    pub fn hostname(&self) -> Option<String> {
        let raw = self.raw_hostname.as_deref()?;
        let label: String = raw
            .iter()
            .take_while(|b| **b != b'.' && **b != 0)
            .filter(|b| b.is_ascii_alphanumeric() || **b == b'-')
            .take(63)
            .map(|b| char::from(b.to_ascii_lowercase()))
            .collect();
        let label = label.trim_matches('-');
        (!label.is_empty()).then(|| label.to_string())
    }

    /// Whether a conversation begins with this: a DISCOVER, and on port 4011 whatever is asked there.
    pub fn begins(&self, door: Door) -> bool {
        match door {
            Door::Proxy => matches!(self.kind, MessageType::Request | MessageType::Inform),
            _ => self.kind == MessageType::Discover,
        }
    }

    /// Whether option 55 lists this code.
    pub fn wants(&self, code: OptionCode) -> bool {
        self.wants
            .as_deref()
            .is_some_and(|list| list.contains(&u8::from(code)))
    }
}

fn specified(address: Ipv4Addr) -> Option<Ipv4Addr> {
    Some(address).filter(|a| !a.is_unspecified())
}

fn class(text: &[u8]) -> Class {
    // `HW-Client` is sent in place of `PXEClient` by some Huawei firmware; dnsmasq has
    // --dhcp-pxe-vendor=PXEClient,HW-Client for it.
    const CLASSES: [(&[u8], Class); 4] = [
        (b"PXEClient", Class::Pxe),
        (b"HW-Client", Class::Pxe),
        (b"HTTPClient", Class::Http),
        (b"U-Boot", Class::UBoot),
    ];
    CLASSES
        .iter()
        .find(|(prefix, _)| text.starts_with(prefix))
        .map_or(Class::Other, |(_, class)| *class)
}

/// Option 93 is a list of codes; firmware that sends several puts its own first.
fn arch(options: &Options<'_>) -> Option<u16> {
    match options.get(OptionCode::ClientSystemArchitecture)? {
        [high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// `PXEClient:Arch:00007:UNDI:003016`: five decimal digits.
fn class_arch(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once(":Arch:")?;
    rest.split(':').next()?.parse().ok()
}

/// iPXE says so in option 77, plain or as RFC 3004 wants it (with a length byte), and in option
/// 175. Either is enough: iPXE built with another user class still has its features.
fn ipxe(options: &Options<'_>) -> Option<Ipxe> {
    let features = options.get(OptionCode::Unknown(IPXE_OPTIONS));
    let user = options.get(OptionCode::UserClass).unwrap_or_default();
    let named = user == b"iPXE"
        || user
            .strip_prefix(&[4])
            .is_some_and(|u| u.starts_with(b"iPXE"));
    if features.is_none() && !named {
        return None;
    }
    // Without the list nothing says that it cannot.
    let http = features.is_none_or(|f| wire::suboptions(f).any(|(code, _)| code == FEATURE_HTTP));
    Some(Ipxe { http })
}

/// Option 175, where iPXE (and Etherboot before it) puts its own options.
pub const IPXE_OPTIONS: u8 = 175;
/// iPXE's src/include/ipxe/features.h: DHCP_EB_FEATURE_HTTP.
const FEATURE_HTTP: u8 = 0x13;

fn relay_says(bytes: &[u8]) -> RelaySays {
    let mut says = RelaySays::default();
    for (code, value) in wire::suboptions(bytes) {
        match code {
            5 => says.link = wire::address(value),
            11 => says.server = wire::address(value),
            19 => says.source_port = true,
            _ => {}
        }
    }
    says
}

fn boot_item(vendor: &[u8]) -> Option<[u8; 4]> {
    wire::suboptions(vendor)
        .find(|(code, _)| *code == 71)
        .and_then(|(_, value)| value.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_their_text() {
        assert_eq!(class(b"PXEClient:Arch:00007:UNDI:003016"), Class::Pxe);
        assert_eq!(class(b"HTTPClient:Arch:00016:UNDI:003001"), Class::Http);
        assert_eq!(class(b"HW-Client"), Class::Pxe);
        assert_eq!(class(b"udhcp 1.35.0"), Class::Other);
        assert_eq!(class_arch(b"PXEClient:Arch:00007:UNDI:003016"), Some(7));
        assert_eq!(class_arch(b"PXEClient:Arch:zzzzz"), None);
        assert_eq!(class_arch(b"d-i"), None);
    }

    #[test]
    fn relays_are_heard() {
        let says = relay_says(&[
            1, 2, 0, 7, 5, 4, 10, 78, 0, 0, 11, 4, 10, 78, 0, 1, 19, 0, 9, 200,
        ]);
        assert_eq!(says.link, Some(Ipv4Addr::new(10, 78, 0, 0)));
        assert_eq!(says.server, Some(Ipv4Addr::new(10, 78, 0, 1)));
        assert!(says.source_port);
    }
}
