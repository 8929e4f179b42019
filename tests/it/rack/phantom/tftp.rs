//! TFTP as a network card's ROM: lockstep, blocks of 1432 bytes (RFC 1350, 2347, 2348).

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use farrier::cli::demo::rack::RackError;

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// With the whole file.
    File(Vec<u8>),
    /// With an error of the server's.
    Refused {
        /// Its code.
        code: u16,
        /// Its text.
        text: String,
    },
    /// Without any answer.
    Silence,
}

const WAIT: Duration = Duration::from_secs(3);
const BLOCK: usize = 1432;

pub(super) fn fetch(server: Ipv4Addr, name: &str) -> Result<Transfer, RackError> {
    transfer(server, name).map_err(|e| RackError::Command {
        command: format!("tftp get {name}"),
        detail: e.to_string(),
    })
}

fn transfer(server: Ipv4Addr, name: &str) -> std::io::Result<Transfer> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(WAIT))?;
    let mut request = vec![0, 1];
    for word in [name, "octet", "blksize", &BLOCK.to_string(), "tsize", "0"] {
        request.extend(word.as_bytes());
        request.push(0);
    }
    socket.send_to(&request, (server, 69))?;
    let mut buffer = vec![0u8; BLOCK + 64];
    let mut file = Vec::new();
    let mut block = 512;
    let mut expected: u16 = 1;
    let mut last: Option<(Vec<u8>, SocketAddr)> = None;
    let mut tries = 0;
    loop {
        let (length, from) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                tries += 1;
                match &last {
                    Some((ack, to)) if tries < 4 => {
                        socket.send_to(ack, to)?;
                        continue;
                    }
                    _ => return Ok(Transfer::Silence),
                }
            }
            Err(e) => return Err(e),
        };
        tries = 0;
        let packet = &buffer[..length];
        let number = u16::from_be_bytes([packet[2], packet[3]]);
        match packet[1] {
            // OACK
            6 => {
                block = BLOCK;
                acknowledge(&socket, 0, from, &mut last)?;
            }
            3 => {
                if number == expected {
                    file.extend(&packet[4..]);
                    expected = expected.wrapping_add(1);
                }
                acknowledge(&socket, number, from, &mut last)?;
                if number == expected.wrapping_sub(1) && packet.len() - 4 < block {
                    return Ok(Transfer::File(file));
                }
            }
            5 => {
                let text = String::from_utf8_lossy(&packet[4..]);
                return Ok(Transfer::Refused {
                    code: number,
                    text: text.trim_end_matches('\0').to_string(),
                });
            }
            _ => {}
        }
    }
}

fn acknowledge(
    socket: &UdpSocket,
    number: u16,
    to: SocketAddr,
    last: &mut Option<(Vec<u8>, SocketAddr)>,
) -> std::io::Result<()> {
    let mut ack = vec![0, 4];
    ack.extend(number.to_be_bytes());
    socket.send_to(&ack, to)?;
    *last = Some((ack, to));
    Ok(())
}
