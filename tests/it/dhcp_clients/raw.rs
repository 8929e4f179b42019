//! A boot client of our own making, for what no program here sends: PXE DISCOVERs, at will.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use farrier::cli::demo::rack::{Host, RackError};
use farrier::model::MacAddr;
use socket2::{Domain, Socket, Type};

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// 2 OFFER, 5 ACK, 6 NAK.
    pub(super) kind: u8,
    pub(super) server: Ipv4Addr,
    pub(super) given: Ipv4Addr,
    pub(super) next: Ipv4Addr,
    pub(super) file: Option<String>,
    pub(super) class: Option<String>,
}

/// The options of EDK2's PXE.
pub(super) const UEFI: &[(u8, &[u8])] = &[
    (60, b"PXEClient:Arch:00007:UNDI:003016"),
    (93, &[0, 7]),
    (
        97,
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
    ),
    (57, &[5, 192]),
];

/// Broadcasts a message from the host's interface and returns all answers within a time. They are
/// asked for by broadcast, because a plain socket hears nothing else without an address.
pub(super) fn ask(
    host: &Host,
    kind: u8,
    options: &[(u8, &[u8])],
    patience: Duration,
) -> Result<Vec<Said>, RackError> {
    let packet = packet(kind, host.mac(), Ipv4Addr::UNSPECIFIED, options);
    let device = host.interface().as_bytes().to_vec();
    let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, 67);
    host.namespace().inside(move || {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
        socket
            .bind_device(Some(&device))
            .expect("bound to the interface");
        socket.set_broadcast(true).expect("broadcast");
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);
        socket.bind(&any.into()).expect("port 68");
        listen(&UdpSocket::from(socket), &packet, to, patience)
    })
}

/// Asks port 4011 from an address that the host has.
pub(super) fn ask_4011(
    host: &Host,
    from: Ipv4Addr,
    server: Ipv4Addr,
    options: &[(u8, &[u8])],
    patience: Duration,
) -> Result<Vec<Said>, RackError> {
    let packet = packet(3, host.mac(), from, options);
    host.namespace().inside(move || {
        let socket = UdpSocket::bind((from, 4011)).expect("port 4011");
        listen(&socket, &packet, SocketAddrV4::new(server, 4011), patience)
    })
}

fn listen(socket: &UdpSocket, packet: &[u8], to: SocketAddrV4, patience: Duration) -> Vec<Said> {
    socket.send_to(packet, to).expect("sent");
    let until = std::time::Instant::now() + patience;
    let mut all = Vec::new();
    let mut room = [0; 2048];
    loop {
        let left = until.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return all;
        }
        socket.set_read_timeout(Some(left)).expect("a timeout");
        if let Ok((length, _)) = socket.recv_from(&mut room)
            && room[4..8] == packet[4..8]
        {
            all.push(said(&room[..length]));
        }
    }
}

fn packet(kind: u8, mac: MacAddr, own: Ipv4Addr, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = vec![0; 240];
    out[..4].copy_from_slice(&[1, 1, 6, 0]);
    out[4..8].copy_from_slice(&[0x26, 0xf3, 0x03, kind]);
    out[10] = 0x80;
    out[12..16].copy_from_slice(&own.octets());
    out[28..34].copy_from_slice(&mac.0);
    out[236..].copy_from_slice(&[99, 130, 83, 99]);
    out.extend_from_slice(&[53, 1, kind]);
    for (code, value) in options {
        out.extend_from_slice(&[*code, value.len() as u8]);
        out.extend_from_slice(value);
    }
    out.push(255);
    out.resize(300.max(out.len()), 0);
    out
}

fn said(bytes: &[u8]) -> Said {
    let address = |at: usize| {
        let four: [u8; 4] = bytes[at..at + 4].try_into().expect("four");
        Ipv4Addr::from(four)
    };
    let mut options = std::collections::BTreeMap::new();
    let mut at = 240;
    while bytes[at] != 255 {
        let length = usize::from(bytes[at + 1]);
        options.insert(bytes[at], &bytes[at + 2..at + 2 + length]);
        at += 2 + length;
    }
    let text = |code: u8| {
        let bytes: &[u8] = options.get(&code)?;
        Some(
            String::from_utf8_lossy(bytes)
                .trim_end_matches('\0')
                .to_string(),
        )
    };
    Said {
        kind: options[&53][0],
        server: options.get(&54).map_or(Ipv4Addr::UNSPECIFIED, |v| {
            Ipv4Addr::new(v[0], v[1], v[2], v[3])
        }),
        given: address(16),
        next: address(20),
        file: text(67),
        class: text(60),
    }
}
