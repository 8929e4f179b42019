//! Packets and a small site for tests.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use dhcproto::v4::MAGIC;
use dhcproto::{Decodable, Decoder, v4};

use super::{Answer, Granted, LeaseTable, Outcome, Place, answer, encode, parse};
use crate::model::*;

/// A DISCOVER with these options behind its type.
pub(crate) fn discover(mac: &str, options: &[(u8, &[u8])]) -> Vec<u8> {
    packet(1, mac, options)
}

/// A request of a given type.
pub(crate) fn packet(kind: u8, mac: &str, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mac: MacAddr = mac.parse().expect("a mac");
    let mut bytes = vec![0; super::wire::HEADER];
    bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
    bytes[4..8].copy_from_slice(&0x1234_5678_u32.to_be_bytes());
    bytes[28..34].copy_from_slice(&mac.0);
    bytes[236..].copy_from_slice(&MAGIC);
    bytes.extend_from_slice(&[53, 1, kind]);
    for (code, value) in options {
        bytes.push(*code);
        bytes.push(u8::try_from(value.len()).expect("a short option"));
        bytes.extend_from_slice(value);
    }
    bytes.push(255);
    bytes
}

/// Writes an address into a header field of a packet: 12 ciaddr, 24 giaddr.
pub(crate) fn with(mut bytes: Vec<u8>, at: usize, address: [u8; 4]) -> Vec<u8> {
    bytes[at..at + 4].copy_from_slice(&address);
    bytes
}

pub(crate) const SERVER: [u8; 4] = [10, 77, 0, 1];
pub(crate) const WEB01: &str = "52:54:00:00:00:01";
pub(crate) const DB01: &str = "52:54:00:00:00:02";
pub(crate) const STRANGER: &str = "52:54:00:00:00:99";
/// Firmware of each kind: option 60 and option 93.
pub(crate) const BIOS: &[(u8, &[u8])] = &[(60, b"PXEClient:Arch:00000:UNDI:002001"), (93, &[0, 0])];
pub(crate) const UEFI: &[(u8, &[u8])] = &[(60, b"PXEClient:Arch:00007:UNDI:003016"), (93, &[0, 7])];
pub(crate) const HTTP: &[(u8, &[u8])] =
    &[(60, b"HTTPClient:Arch:00016:UNDI:003001"), (93, &[0, 16])];
pub(crate) const IPXE: &[(u8, &[u8])] = &[
    (60, b"PXEClient:Arch:00007:UNDI:003010"),
    (93, &[0, 7]),
    (77, b"iPXE"),
    (175, &[19, 1, 1, 36, 1, 1]),
];

/// A server, its site and its table, without a socket.
pub(crate) struct Rig {
    pub(crate) site: Site,
    pub(crate) place: Place,
    pub(crate) table: LeaseTable,
    pub(crate) now: Timestamp,
    /// What flagged machines boot with; none: nothing is flagged.
    pub(crate) flagged: Option<LoaderKind>,
    /// What is flagged, and how it is started.
    pub(crate) kind: ProfileKind,
    pub(crate) way: Way,
    pub(crate) asked: Cell<usize>,
    pub(crate) source: SocketAddrV4,
}

/// What came of a packet, with the reply as another decoder reads it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) word: &'static str,
    pub(crate) silence: Option<super::Silence>,
    pub(crate) lease: Option<Lease>,
    pub(crate) granted: Option<Granted>,
    /// What changed besides.
    pub(crate) records: Vec<Lease>,
    pub(crate) reply: Option<v4::Message>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) to: Option<super::Destination>,
    pub(crate) check: Option<Ipv4Addr>,
}

impl Rig {
    /// 10.77.0.0/24 with a pool of four; `web01` has 10.77.0.11, `db01` no address.
    pub(crate) fn new() -> Rig {
        let mut rig = Rig {
            site: Site {
                subnets: vec![subnet(
                    "10.77.0.0/24",
                    Some(([10, 77, 0, 100], [10, 77, 0, 103])),
                )],
                ..Site::default()
            },
            place: Place {
                interface: "eth1".to_string(),
                networks: vec!["10.77.0.1/24".parse().expect("a network")],
                own: vec![SERVER.into()],
                mode: DhcpMode::Full,
                door: Door::Dhcp,
                http_port: 80,
                loaders: crate::boot::paths::LOADERS.to_vec(),
            },
            table: LeaseTable::default(),
            now: Timestamp::from_second(1_700_000_000).expect("a time"),
            flagged: None,
            kind: ProfileKind::Preseed,
            way: Way::default(),
            asked: Cell::new(0),
            source: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
        };
        rig.add("web01", WEB01, Some([10, 77, 0, 11]));
        rig.add("db01", DB01, None);
        rig
    }

    pub(crate) fn add(&mut self, name: &str, mac: &str, ip: Option<[u8; 4]>) {
        let interface = Interface {
            mac: mac.parse().expect("a mac"),
            ip: ip.map(Ipv4Addr::from),
            static_ip: false,
            name: None,
            ip6: None,
        };
        let system = Arc::new(System {
            name: name.parse().expect("a name"),
            interfaces: vec![interface.clone()],
            profile: "debian-12".parse().expect("a name"),
            tags: Vec::new(),
            vars: serde_json::Map::new(),
            intent: None,
            disk: None,
            wipe: false,
            protected: false,
            secure_boot: false,
            ssh_keys: Vec::new(),
            broken: None,
            bmc: None,
        });
        self.site.by_mac.insert(interface.mac, system.clone());
        if let Some(ip) = interface.ip {
            self.site.by_ip.insert(ip, system.clone());
        }
        self.site.systems.insert(system.name.clone(), system);
        self.site.revision = Digest::of(format!("{:?}", self.site.by_mac.len()).as_bytes());
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now = super::allocate::later(self.now, Duration::from_secs(seconds));
    }

    fn decide(&self, facts: &Facts) -> Decision {
        self.asked.set(self.asked.get() + 1);
        let system = self.site.by_mac.get(&facts.mac);
        let action = match (system, self.flagged, self.site.unknown) {
            (None, _, UnknownAction::Ignore) => Action::Ignore,
            (Some(system), Some(loader), _) => Action::Boot(Box::new(BootPlan {
                build: BuildKey {
                    system: system.name.clone(),
                    epoch: 1,
                },
                profile: system.profile.clone(),
                loader,
                kernel: PlannedFile {
                    id: ArtefactRef {
                        distro: "debian-12".into(),
                        name: "linux".into(),
                    },
                    digest: Digest::of(b"x"),
                    size: 1,
                },
                initrds: Vec::new(),
                cmdline: String::new(),
                kind: self.kind,
                way: self.way.clone(),
                resident: false,
            })),
            _ => Action::LocalDisk,
        };
        Decision {
            system: system.map(|s| s.name.clone()),
            action,
            why: Why::NotFlagged,
        }
    }

    /// Handles a packet as the door does, except that addresses are found free at once.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Seen {
        let first = self.send_once(bytes);
        let Some(ip) = first.check else {
            return first;
        };
        self.table.checked(ip, false, self.now);
        let mut seen = self.send_once(bytes);
        let mut records = first.records;
        records.append(&mut seen.records);
        seen.records = records;
        seen
    }

    pub(crate) fn send_once(&mut self, bytes: &[u8]) -> Seen {
        let request = parse(bytes).expect("a request");
        let mut table = std::mem::take(&mut self.table);
        let answer = answer(
            &request,
            self.source,
            &self.place,
            &self.site,
            &|facts| self.decide(facts),
            &mut table,
            self.now,
        );
        let seen = Seen::of(&answer, &request, self);
        drop(answer);
        self.table = table;
        seen
    }
}

impl Seen {
    fn of(answer: &Answer<'_>, request: &super::Request<'_>, rig: &Rig) -> Seen {
        let mut seen = Seen {
            word: "",
            silence: None,
            lease: None,
            granted: None,
            records: answer.records.clone(),
            reply: None,
            bytes: Vec::new(),
            to: None,
            check: None,
        };
        let reply = match &answer.outcome {
            Outcome::Silent(reason) => {
                seen.word = "silent";
                seen.silence = Some(*reason);
                return seen;
            }
            Outcome::Record(lease, reason) => {
                seen.word = "record";
                seen.silence = Some(*reason);
                seen.lease = Some(lease.clone());
                return seen;
            }
            Outcome::Check(ip) => {
                seen.word = "check";
                seen.check = Some(*ip);
                return seen;
            }
            Outcome::Reply(reply) => reply,
            Outcome::Commit(granted, reply) => {
                seen.lease = Some(granted.lease.clone());
                seen.granted = Some(granted.clone());
                reply
            }
        };
        encode(reply, &mut seen.bytes);
        seen.to = Some(super::route(request, reply, rig.source, rig.place.door));
        let decoded = v4::Message::decode(&mut Decoder::new(&seen.bytes)).expect("a message");
        seen.word = match decoded.opts().msg_type() {
            Some(v4::MessageType::Offer) => "offer",
            Some(v4::MessageType::Ack) if seen.lease.is_some() => "commit",
            Some(v4::MessageType::Ack) => "ack",
            Some(v4::MessageType::Nak) => "nak",
            other => panic!("{other:?}"),
        };
        seen.reply = Some(decoded);
        seen
    }

    /// The reply's bytes of an option, read by the wire order and not by any decoder.
    pub(crate) fn option(&self, code: u8) -> Option<&[u8]> {
        super::wire::suboptions(self.bytes.get(super::wire::HEADER..)?)
            .find(|(c, _)| *c == code)
            .map(|(_, value)| value)
    }

    /// The same as text without its NUL.
    pub(crate) fn text(&self, code: u8) -> Option<&str> {
        let text = std::str::from_utf8(self.option(code)?).expect("text");
        Some(text.trim_end_matches('\0'))
    }

    /// The address given, or 0.0.0.0.
    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.reply
            .as_ref()
            .map_or(Ipv4Addr::UNSPECIFIED, v4::Message::yiaddr)
    }
}

/// A distro's own shim and GRUB, for 64-bit x86.
pub(crate) fn own_pair(distro: &str) -> Pair {
    let file = |name: &str| PlannedFile {
        id: ArtefactRef {
            distro: distro.into(),
            name: name.into(),
        },
        digest: Digest::of(name.as_bytes()),
        size: 1,
    };
    Pair {
        arch: Arch::X64Uefi,
        shim: file("shimx64.efi"),
        grub: file("grubx64.efi"),
    }
}

/// A subnet with its router at .1.
pub(crate) fn subnet(network: &str, pool: Option<([u8; 4], [u8; 4])>) -> Subnet {
    let network: ipnet::Ipv4Net = network.parse().expect("a network");
    Subnet {
        network,
        router: network.hosts().next(),
        dns: Vec::new(),
        domain: Some("lab.example".to_string()),
        ntp: Vec::new(),
        pool: pool
            .into_iter()
            .map(|(first, last)| AddressRange {
                first: first.into(),
                last: last.into(),
            })
            .collect(),
        lease: Duration::from_secs(3600),
        server: None,
    }
}
