//! A DHCP client and relay of our own making, for what no program here sends.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use farrier::cli::demo::rack::{Host, RackError};
use farrier::model::MacAddr;
use socket2::{Domain, Socket, Type};

pub(crate) const DISCOVER: u8 = 1;
pub(crate) const OFFER: u8 = 2;
pub(crate) const REQUEST: u8 = 3;
pub(crate) const DECLINE: u8 = 4;
pub(crate) const ACK: u8 = 5;
pub(crate) const NAK: u8 = 6;
pub(crate) const RELEASE: u8 = 7;
pub(crate) const INFORM: u8 = 8;

/// How long an answer may take that must come. It takes milliseconds on an idle host.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked. Answers are asked for by broadcast, unless told otherwise, because a plain socket
/// hears nothing else without an address.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    kind: u8,
    mac: MacAddr,
    ciaddr: Ipv4Addr,
    giaddr: Ipv4Addr,
    broadcast: bool,
    options: Vec<(u8, Vec<u8>)>,
}

impl Message {
    pub(crate) fn new(kind: u8, mac: MacAddr) -> Message {
        Message {
            kind,
            mac,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: Ipv4Addr::UNSPECIFIED,
            broadcast: true,
            options: Vec::new(),
        }
    }

    /// The address that the client has.
    pub(crate) fn from(mut self, ip: Ipv4Addr) -> Message {
        self.ciaddr = ip;
        self
    }

    /// It hears what is sent to its hardware address.
    pub(crate) fn unicast(mut self) -> Message {
        self.broadcast = false;
        self
    }

    /// The relay that passes it on.
    pub(crate) fn through(mut self, relay: Ipv4Addr) -> Message {
        self.giaddr = relay;
        self
    }

    pub(crate) fn option(mut self, code: u8, value: impl AsRef<[u8]>) -> Message {
        self.options.push((code, value.as_ref().to_vec()));
        self
    }

    /// Option 50: the address it wants.
    pub(crate) fn wants(self, ip: Ipv4Addr) -> Message {
        self.option(50, ip.octets())
    }

    /// Option 54: the server it means.
    pub(crate) fn to(self, server: Ipv4Addr) -> Message {
        self.option(54, server.octets())
    }

    /// The options of EDK2's PXE.
    pub(crate) fn uefi(self) -> Message {
        self.option(60, "PXEClient:Arch:00007:UNDI:003016")
            .option(93, [0, 7])
            .option(
                97,
                [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
            )
            .option(57, [5, 192])
    }

    /// The bytes, with a transaction number that no other message of this process has.
    fn bytes(&self) -> Vec<u8> {
        static COUNT: AtomicU16 = AtomicU16::new(1);
        let mut out = vec![0; 240];
        out[..4].copy_from_slice(&[1, 1, 6, u8::from(!self.giaddr.is_unspecified())]);
        out[4..6].copy_from_slice(&(std::process::id() as u16).to_be_bytes());
        out[6..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        out[10] = if self.broadcast { 0x80 } else { 0 };
        out[12..16].copy_from_slice(&self.ciaddr.octets());
        out[24..28].copy_from_slice(&self.giaddr.octets());
        out[28..34].copy_from_slice(&self.mac.0);
        out[236..].copy_from_slice(&[99, 130, 83, 99]);
        out.extend_from_slice(&[53, 1, self.kind]);
        for (code, value) in &self.options {
            out.extend_from_slice(&[*code, value.len() as u8]);
            out.extend_from_slice(value);
        }
        out.push(255);
        out.resize(300.max(out.len()), 0);
        out
    }
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) kind: u8,
    pub(crate) given: Ipv4Addr,
    pub(crate) next: Ipv4Addr,
    /// In the order of the wire.
    pub(crate) options: Vec<(u8, Vec<u8>)>,
}

impl Said {
    fn read(bytes: &[u8]) -> Said {
        let address = |at: usize| {
            let four: [u8; 4] = bytes[at..at + 4].try_into().expect("four");
            Ipv4Addr::from(four)
        };
        let mut options = Vec::new();
        let mut at = 240;
        while bytes[at] != 255 {
            let length = usize::from(bytes[at + 1]);
            options.push((bytes[at], bytes[at + 2..at + 2 + length].to_vec()));
            at += 2 + length;
        }
        let (code, kind) = &options[0];
        assert_eq!((*code, kind.len()), (53, 1), "the type comes first");
        Said {
            kind: kind[0],
            given: address(16),
            next: address(20),
            options,
        }
    }

    pub(crate) fn option(&self, code: u8) -> Option<&[u8]> {
        let found = self.options.iter().find(|(c, _)| *c == code);
        found.map(|(_, value)| value.as_slice())
    }

    pub(crate) fn text(&self, code: u8) -> Option<String> {
        let text = String::from_utf8_lossy(self.option(code)?).into_owned();
        Some(text.trim_end_matches('\0').to_string())
    }

    /// Option 54.
    pub(crate) fn server(&self) -> Option<Ipv4Addr> {
        let four: [u8; 4] = self.option(54)?.try_into().ok()?;
        Some(four.into())
    }
}

/// An open port, and where it asks.
#[derive(Debug)]
pub(crate) struct Asker {
    socket: UdpSocket,
    to: SocketAddrV4,
}

impl Asker {
    /// Broadcasts from a host's interface, as a client without an address does.
    pub(crate) fn everyone(host: &Host) -> Result<Asker, RackError> {
        let device = host.interface().as_bytes().to_vec();
        let socket = host.namespace().inside(move || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
            socket
                .bind_device(Some(&device))
                .expect("bound to the interface");
            socket.set_broadcast(true).expect("broadcast");
            let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);
            socket.bind(&any.into()).expect("port 68");
            UdpSocket::from(socket)
        })?;
        let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, 67);
        Ok(Asker { socket, to })
    }

    /// From an address and port that the host has, to a port of a server: a client that has its
    /// address (68), a relay (67), firmware that asks for its boot server (4011).
    pub(crate) fn from(
        host: &Host,
        from: (Ipv4Addr, u16),
        to: (Ipv4Addr, u16),
    ) -> Result<Asker, RackError> {
        let socket = host
            .namespace()
            .inside(move || UdpSocket::bind(from).expect("the port"))?;
        let to = SocketAddrV4::new(to.0, to.1);
        Ok(Asker { socket, to })
    }

    /// Sends without waiting.
    pub(crate) fn send(&self, message: &Message) -> [u8; 4] {
        let bytes = message.bytes();
        self.socket.send_to(&bytes, self.to).expect("sent");
        bytes[4..8].try_into().expect("four")
    }

    /// Sends, and waits for the first answer, which must come.
    pub(crate) fn ask(&self, message: &Message) -> Said {
        let number = self.send(message);
        let answers = self.listen(number, PATIENCE, 1);
        let first = answers.into_iter().next();
        first.unwrap_or_else(|| panic!("no answer to {message:?}"))
    }

    /// Sends, and returns every answer within a time: for wires with several servers.
    pub(crate) fn ask_all(&self, message: &Message, patience: Duration) -> Vec<Said> {
        let number = self.send(message);
        self.listen(number, patience, usize::MAX)
    }

    /// The answers to a message that are there, or come within a time, at most so many.
    pub(crate) fn listen(&self, number: [u8; 4], patience: Duration, most: usize) -> Vec<Said> {
        let until = Instant::now() + patience;
        let mut all = Vec::new();
        let mut room = [0; 2048];
        while all.len() < most {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.socket.set_read_timeout(Some(left)).expect("a timeout");
            if let Ok((length, _)) = self.socket.recv_from(&mut room)
                && room[4..8] == number
            {
                all.push(Said::read(&room[..length]));
            }
        }
        all
    }

    /// DISCOVER, OFFER, REQUEST, ACK: the address.
    pub(crate) fn lease(&self, mac: MacAddr) -> Ipv4Addr {
        let offer = self.ask(&Message::new(DISCOVER, mac));
        assert_eq!(offer.kind, OFFER, "{offer:?}");
        let server = offer.server().expect("a server");
        let ack = self.ask(&Message::new(REQUEST, mac).wants(offer.given).to(server));
        assert_eq!((ack.kind, ack.given), (ACK, offer.given), "{ack:?}");
        ack.given
    }
}
