//! DHCP as a client without an address: DISCOVER, OFFER, REQUEST, ACK, with the options that tell
//! firmware, iPXE and systems apart.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use farrier::cli::demo::rack::RackError;
use farrier::model::MacAddr;
use socket2::{Domain, Protocol, Socket, Type};

/// Which program asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A BIOS network card's PXE.
    Bios,
    /// UEFI's PXE.
    Uefi,
    /// iPXE on BIOS.
    Ipxe,
    /// An installer or an installed system.
    System,
}

/// An acknowledged lease and what came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) ip: Ipv4Addr,
    pub(crate) siaddr: Ipv4Addr,
    pub(crate) file: String,
    pub(crate) options: BTreeMap<u8, Vec<u8>>,
}

impl Answer {
    /// The boot file: option 67, else the header's field.
    pub(crate) fn boot_file(&self) -> Option<String> {
        let option = self.options.get(&67).map(|b| {
            let text = String::from_utf8_lossy(b);
            text.trim_end_matches('\0').to_string()
        });
        option
            .or_else(|| Some(self.file.clone()))
            .filter(|f| !f.is_empty())
    }

    /// Where the boot file is.
    pub(crate) fn next_server(&self) -> Ipv4Addr {
        self.siaddr
    }
}

/// Patience of one try, and tries. Firmware waits 4, 8, 16.. seconds; a phantom is on a quiet wire.
const WAIT: Duration = Duration::from_millis(1500);
const TRIES: u32 = 3;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

pub(super) fn converse(
    interface: &str,
    mac: MacAddr,
    asker: Asker,
) -> Result<Option<Answer>, RackError> {
    let failed = |e: std::io::Error| RackError::Command {
        command: format!("DHCP on {interface}"),
        detail: e.to_string(),
    };
    let socket = open(interface).map_err(failed)?;
    let xid = Instant::now().elapsed().subsec_nanos()
        ^ u32::from_be_bytes([mac.0[2], mac.0[3], mac.0[4], mac.0[5]])
        ^ (std::process::id() << 8)
        ^ (asker as u32);
    for _ in 0..TRIES {
        let discover = message(mac, xid, DISCOVER, asker, &[]);
        let Some(offer) = exchange(&socket, &discover, xid, OFFER).map_err(failed)? else {
            continue;
        };
        let server = offer.options.get(&54).cloned().unwrap_or_default();
        let mut choice = vec![50, 4];
        choice.extend(offer.ip.octets());
        choice.extend([54, server.len() as u8]);
        choice.extend(&server);
        let request = message(mac, xid, REQUEST, asker, &choice);
        if let Some(ack) = exchange(&socket, &request, xid, ACK).map_err(failed)? {
            return Ok(Some(ack));
        }
    }
    Ok(None)
}

fn open(interface: &str) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    let any = std::net::SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);
    socket.bind(&any.into())?;
    Ok(socket.into())
}

fn exchange(
    socket: &UdpSocket,
    message: &[u8],
    xid: u32,
    wanted: u8,
) -> std::io::Result<Option<Answer>> {
    socket.send_to(message, (Ipv4Addr::BROADCAST, 67))?;
    let began = Instant::now();
    let mut buffer = [0u8; 1500];
    while let Some(left) = WAIT.checked_sub(began.elapsed()).filter(|l| !l.is_zero()) {
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let Some(answer) = parse(&buffer[..length], xid) else {
            continue;
        };
        match answer.options.get(&53).and_then(|t| t.first()) {
            Some(kind) if *kind == wanted => return Ok(Some(answer)),
            Some(&NAK) => return Ok(None),
            _ => {}
        }
    }
    Ok(None)
}

fn message(mac: MacAddr, xid: u32, kind: u8, asker: Asker, more: &[u8]) -> Vec<u8> {
    let mut out = vec![0u8; 240];
    out[..4].copy_from_slice(&[1, 1, 6, 0]);
    out[4..8].copy_from_slice(&xid.to_be_bytes());
    // The broadcast flag: this client has no raw socket to hear a frame with.
    out[10] = 0x80;
    out[28..34].copy_from_slice(&mac.0);
    out[236..].copy_from_slice(&[99, 130, 83, 99]);
    out.extend([53, 1, kind]);
    out.extend(more);
    let text = |out: &mut Vec<u8>, code: u8, text: &str| {
        out.extend([code, text.len() as u8]);
        out.extend(text.as_bytes());
    };
    let machine = |out: &mut Vec<u8>, arch: u16| {
        out.extend([93, 2]);
        out.extend(arch.to_be_bytes());
        out.extend([94, 3, 1, 2, 1]);
        out.extend([97, 17, 0]);
        out.extend([0xfa; 10]);
        out.extend(mac.0);
    };
    match asker {
        Asker::Bios => {
            text(&mut out, 60, "PXEClient:Arch:00000:UNDI:002001");
            machine(&mut out, 0);
        }
        Asker::Uefi => {
            text(&mut out, 60, "PXEClient:Arch:00007:UNDI:003000");
            machine(&mut out, 7);
        }
        Asker::Ipxe => {
            text(&mut out, 60, "PXEClient:Arch:00000:UNDI:002001");
            text(&mut out, 77, "iPXE");
            machine(&mut out, 0);
            // Features: http, bzimage, version 1.0.
            out.extend([175, 11, 19, 1, 1, 24, 1, 1, 235, 3, 1, 0, 0]);
        }
        Asker::System => text(&mut out, 60, "d-i"),
    }
    out.extend([55, 9, 1, 3, 6, 12, 15, 51, 54, 66, 67, 255]);
    out.resize(out.len().max(300), 0);
    out
}

fn parse(bytes: &[u8], xid: u32) -> Option<Answer> {
    if bytes.len() < 240 || bytes[0] != 2 || bytes[4..8] != xid.to_be_bytes() {
        return None;
    }
    let address = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
    let mut options = BTreeMap::new();
    let mut rest = &bytes[240..];
    while let [code, tail @ ..] = rest {
        match (*code, tail) {
            (0, _) => rest = tail,
            (255, _) => break,
            (code, [length, tail @ ..]) if tail.len() >= usize::from(*length) => {
                let (value, after) = tail.split_at(usize::from(*length));
                options.entry(code).or_insert_with(Vec::new).extend(value);
                rest = after;
            }
            _ => return None,
        }
    }
    let file = &bytes[108..236];
    let end = file.iter().position(|b| *b == 0).unwrap_or(file.len());
    Some(Answer {
        ip: address(16),
        siaddr: address(20),
        file: String::from_utf8_lossy(&file[..end]).into_owned(),
        options,
    })
}
