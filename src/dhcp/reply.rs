//! A reply as a value: what is said, before it is bytes.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use dhcproto::v4::{MessageType, OptionCode};
use ipnet::Ipv4Net;

use super::boot::Boot;
use super::quirks;
use super::request::{IPXE_OPTIONS, Request};
use crate::model::{MacAddr, Subnet};

/// What is sent back. Options stand in the order of the wire; the relay's go behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<'a> {
    /// OFFER, ACK or NAK.
    pub kind: MessageType,
    /// As asked.
    pub xid: u32,
    /// As asked: relays look at them.
    pub flags: u16,
    /// The client's own address.
    pub ciaddr: Ipv4Addr,
    /// The address given.
    pub yiaddr: Ipv4Addr,
    /// The server to boot from.
    pub siaddr: Ipv4Addr,
    /// The relay.
    pub giaddr: Ipv4Addr,
    /// Who asked.
    pub mac: MacAddr,
    /// The sname field.
    pub sname: Option<Ipv4Addr>,
    /// The file field, if it fits.
    pub file: Option<String>,
    /// Options, the most needed first: what does not fit is left out from the end.
    pub options: Vec<(OptionCode, Value<'a>)>,
    /// Option 82, verbatim.
    pub relay: Option<&'a [u8]>,
    /// The largest message the client takes, without IP and UDP headers.
    pub limit: usize,
}

impl Reply<'_> {
    /// Whether it acknowledges.
    pub fn is_ack(&self) -> bool {
        self.kind == MessageType::Ack
    }
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// One address.
    Address(Ipv4Addr),
    /// Several.
    Addresses(&'a [Ipv4Addr]),
    /// Seconds.
    Seconds(u32),
    /// Text.
    Text(&'a str),
    /// Text of our own, ending in NUL if told so.
    Name(String, bool),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
}

/// What a reply is made of.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    /// OFFER, ACK or NAK.
    pub kind: MessageType,
    /// This server as the machine reaches it.
    pub server: Ipv4Addr,
    /// The address given.
    pub address: Option<Ipv4Addr>,
    /// The network it is in; none in proxy replies and refusals.
    pub subnet: Option<&'a Subnet>,
    /// How long the address may be used; none where none is given.
    pub lease: Option<std::time::Duration>,
    /// The declared system's name.
    pub name: Option<&'a str>,
    /// Boot data.
    pub boot: Option<Boot>,
    /// Someone else hands out the addresses.
    pub proxy: bool,
}

/// The largest message every client takes (RFC 2131: 576 bytes with IP and UDP headers).
const MINIMUM: usize = 576;
/// The largest that is sent, whatever the client says: one Ethernet frame.
const MAXIMUM: usize = 1500;
/// IP and UDP headers.
const HEADERS: usize = 28;
/// What the Proxmox installer's dhclient calls `proxmox-auto-installer-manifest-url`.
const PROXMOX_ANSWERS: u8 = 250;
/// `no-pxedhcp` (sub-option 176) = 1: iPXE need not wait two seconds for a proxy on every DHCP.
const NO_PROXY: &[u8] = &[0xb0, 1, 1];

/// Puts a reply together.
pub fn compose<'a>(request: &'a Request<'_>, parts: Parts<'a>) -> Reply<'a> {
    let mut options: Vec<(OptionCode, Value<'a>)> = Vec::with_capacity(24);
    let mut add = |code: OptionCode, value: Value<'a>| options.push((code, value));
    let effect = quirks::effect(request);
    let identifier = request.relay_says.server.unwrap_or(parts.server);
    add(OptionCode::ServerIdentifier, Value::Address(identifier));
    if let Some(lease) = parts.lease {
        let seconds = u32::try_from(lease.as_secs()).unwrap_or(u32::MAX);
        add(OptionCode::AddressLeaseTime, Value::Seconds(seconds));
    }
    if let Some(subnet) = parts.subnet {
        add(
            OptionCode::SubnetMask,
            Value::Address(subnet.network.netmask()),
        );
        if let Some(router) = subnet.router {
            add(OptionCode::Router, Value::Address(router));
        }
        add(OptionCode::DomainNameServer, dns(subnet, parts.server));
    }
    if let Some(boot) = &parts.boot {
        if let Some(class) = boot.class {
            add(OptionCode::ClassIdentifier, Value::Text(class));
        }
        if let Some(uuid) = request.uuid.as_deref().filter(|_| effect.echo_machine_id) {
            add(
                OptionCode::ClientMachineIdentifier,
                Value::Bytes(uuid.into()),
            );
        }
        if let Some(vendor) = &boot.vendor_options {
            add(OptionCode::VendorExtensions, Value::Bytes(vendor.clone()));
        }
        if let Some(server) = boot.tftp {
            let name = Value::Name(server.to_string(), boot.terminate_names);
            add(OptionCode::TFTPServerName, name);
            if request.wants(OptionCode::TFTPServerAddress) {
                add(OptionCode::TFTPServerAddress, Value::Address(server));
            }
        }
        if let Some(file) = &boot.file {
            let name = Value::Name(file.to_string(), boot.terminate_names);
            add(OptionCode::BootfileName, name);
        }
    }
    if effect.no_proxy_wait && !parts.proxy && parts.kind != MessageType::Nak {
        add(
            OptionCode::Unknown(IPXE_OPTIONS),
            Value::Bytes(NO_PROXY.into()),
        );
    }
    if let Some(subnet) = parts.subnet {
        let (host, domain) = host_and_domain(parts.name, subnet.domain.as_deref());
        if let Some(host) = host {
            add(OptionCode::Hostname, Value::Text(host));
        }
        if let Some(domain) = domain {
            add(OptionCode::DomainName, Value::Text(domain));
        }
        if let Some(lease) = parts.lease {
            // RFC 2131 section 4.4.5: half, and seven eighths.
            let seconds = u32::try_from(lease.as_secs()).unwrap_or(u32::MAX);
            add(OptionCode::Renewal, Value::Seconds(seconds / 2));
            add(OptionCode::Rebinding, Value::Seconds(seconds - seconds / 8));
        }
        if let Some(broadcast) = broadcast(subnet.network) {
            add(OptionCode::BroadcastAddr, Value::Address(broadcast));
        }
        if !subnet.ntp.is_empty() {
            add(OptionCode::NtpServers, Value::Addresses(&subnet.ntp));
        }
    }
    if let Some(url) = parts.boot.as_ref().and_then(|b| b.answers.clone()) {
        add(
            OptionCode::Unknown(PROXMOX_ANSWERS),
            Value::Name(url, false),
        );
    }
    if let Some(id) = request.client_id.as_deref() {
        add(OptionCode::ClientIdentifier, Value::Bytes(id.into()));
    }
    let nak = parts.kind == MessageType::Nak;
    let tftp = parts.boot.as_ref().and_then(|b| b.tftp);
    let next = match (&parts.boot, parts.proxy || nak) {
        (None, true) => Ipv4Addr::UNSPECIFIED,
        _ => parts.server,
    };
    Reply {
        kind: parts.kind,
        xid: request.xid,
        // A refusal is broadcast (RFC 2131 section 4.3.2): a relay must do so too.
        flags: request.flags | if nak { 0x8000 } else { 0 },
        ciaddr: request
            .ciaddr
            .filter(|_| !nak)
            .unwrap_or(Ipv4Addr::UNSPECIFIED),
        yiaddr: parts.address.unwrap_or(Ipv4Addr::UNSPECIFIED),
        siaddr: next,
        giaddr: request.giaddr.unwrap_or(Ipv4Addr::UNSPECIFIED),
        mac: request.mac,
        sname: tftp,
        file: parts.boot.and_then(|b| b.file).map(|f| f.into_owned()),
        options,
        relay: request.relay.as_deref(),
        limit: request
            .max_size
            .map_or(MINIMUM, usize::from)
            .clamp(MINIMUM, MAXIMUM)
            - HEADERS,
    }
}

/// Debian's installer stops at a question without a name server, even unattended: so there is
/// always one, and if none is declared the router is the likeliest to be one.
fn dns(subnet: &Subnet, server: Ipv4Addr) -> Value<'_> {
    if subnet.dns.is_empty() {
        Value::Address(subnet.router.unwrap_or(server))
    } else {
        Value::Addresses(&subnet.dns)
    }
}

/// A system's name may carry its domain; else the subnet's holds.
fn host_and_domain<'a>(
    name: Option<&'a str>,
    domain: Option<&'a str>,
) -> (Option<&'a str>, Option<&'a str>) {
    match name.map(|n| n.split_once('.').map_or((n, None), |(h, d)| (h, Some(d)))) {
        Some((host, own)) => (Some(host), own.or(domain)),
        None => (None, domain),
    }
}

fn broadcast(network: Ipv4Net) -> Option<Ipv4Addr> {
    (network.prefix_len() < 31).then(|| network.broadcast())
}
