//! Syslog, UDP and TCP port 514: what an installer logs while it is at work.
//!
//! Nothing in it is authenticated. Lines are kept only from an address whose machine has a build
//! under way, they move nothing, and there is a limit to everything.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::Waist;
use crate::lifecycle::log::syslog;

/// The port that installers know.
pub const PORT: u16 = 514;
/// Longest message that is read; RFC 5424 wants 2048 at least.
const MESSAGE: usize = 8192;
/// How long a connection may say nothing. An installer that unpacks is silent for minutes.
const PATIENCE: Duration = Duration::from_secs(900);
/// Connections at once.
const CONNECTIONS: usize = 1024;
/// Connections of one address at once; an installer has one or two.
const PER_ADDRESS: usize = 16;

/// How many connections each address has.
#[derive(Debug, Default)]
struct Callers {
    of: Mutex<HashMap<Ipv4Addr, usize>>,
}

impl Callers {
    /// A place for one more from there, until it is dropped; none if it has enough.
    fn enter(self: &Arc<Self>, from: Ipv4Addr) -> Option<Caller> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let count = of.entry(from).or_default();
        if *count >= PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Caller {
            among: self.clone(),
            from,
        })
    }
}

/// One connection that counts for its address.
struct Caller {
    among: Arc<Callers>,
    from: Ipv4Addr,
}

impl Drop for Caller {
    fn drop(&mut self) {
        let of = self.among.of.lock();
        let mut of = of.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = of.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                of.remove(&self.from);
            }
        }
    }
}

/// A syslog door that is open.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    loops: JoinSet<()>,
}

impl Running {
    /// Where it listens: UDP, then TCP.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Closes it.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.loops.join_next().await.is_some() {}
    }
}

/// Opens the door on sockets that are bound already.
///
/// # Errors
/// If a socket does not know its own address.
pub fn start(
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
    waist: Arc<dyn Waist>,
) -> io::Result<Running> {
    let mut addresses = Vec::new();
    let (stop, stopped) = watch::channel(false);
    let mut loops = JoinSet::new();
    for socket in udp {
        addresses.push(socket.local_addr()?);
        loops.spawn(receive(socket, waist.clone(), stopped.clone()));
    }
    for listener in tcp {
        addresses.push(listener.local_addr()?);
        loops.spawn(accept(listener, waist.clone(), stopped.clone()));
    }
    Ok(Running {
        addresses,
        stop,
        loops,
    })
}

async fn over(stopped: &mut watch::Receiver<bool>) {
    let _closed_either_way = stopped.wait_for(|stop| *stop).await.is_ok();
}

async fn receive(socket: UdpSocket, waist: Arc<dyn Waist>, mut stopped: watch::Receiver<bool>) {
    let mut buffer = vec![0u8; MESSAGE];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = over(&mut stopped) => return,
        };
        match received {
            Ok((length, from)) => {
                if let Some(from) = v4(from.ip()) {
                    say(waist.as_ref(), from, &buffer[..length]);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a log message could not be received");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn accept(listener: TcpListener, waist: Arc<dyn Waist>, mut stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let callers = Arc::new(Callers::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = over(&mut stopped) => return,
        };
        match accepted {
            Ok((stream, from)) => {
                let known = v4(from.ip()).filter(|ip| waist.holder(*ip).is_some());
                let caller = known.and_then(|from| callers.enter(from));
                let place = room.clone().try_acquire_owned();
                if let (Some(caller), Ok(place)) = (caller, place) {
                    let (waist, mut stopped) = (waist.clone(), stopped.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = hear(stream, caller.from, waist.as_ref()) => {}
                            () = over(&mut stopped) => {}
                        }
                        drop((place, caller));
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a log connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Messages of one connection, until it closes or says nothing for too long.
async fn hear(mut stream: TcpStream, from: Ipv4Addr, waist: &dyn Waist) {
    let mut buffer = Vec::new();
    let mut piece = [0u8; 4096];
    loop {
        match tokio::time::timeout(PATIENCE, stream.read(&mut piece)).await {
            Ok(Ok(count)) if count > 0 => buffer.extend_from_slice(&piece[..count]),
            _ => break,
        }
        while let Some((message, used)) = frame(&buffer) {
            say(waist, from, message);
            buffer.drain(..used);
        }
        if buffer.len() > MESSAGE {
            // A line without an end: what there is of it is kept.
            say(waist, from, &buffer);
            buffer.clear();
        }
    }
    say(waist, from, &buffer);
}

/// The first whole message, and how many bytes it takes: counted (RFC 6587 section 3.4.1), else up
/// to a line break.
fn frame(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    if (1..=4).contains(&digits)
        && bytes.get(digits) == Some(&b' ')
        && bytes.get(digits + 1) == Some(&b'<')
    {
        let length: usize = std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()?;
        let begin = digits + 1;
        return bytes
            .get(begin..begin + length)
            .map(|m| (m, begin + length));
    }
    let end = bytes.iter().position(|b| *b == b'\n')?;
    Some((&bytes[..end], end + 1))
}

fn say(waist: &dyn Waist, from: Ipv4Addr, message: &[u8]) {
    if message.is_empty() {
        return;
    }
    let Some(mac) = waist.holder(from) else {
        return;
    };
    let text = String::from_utf8_lossy(message);
    for line in syslog(&text).lines() {
        waist.hear(mac, line);
    }
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address.to_canonical() {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_take_the_places_of_others() {
        let callers = Arc::new(Callers::default());
        let (one, other) = ([10, 77, 0, 11].into(), [10, 77, 0, 12].into());
        let mut held: Vec<Caller> = (0..PER_ADDRESS)
            .map(|_| callers.enter(one).expect("a place"))
            .collect();
        assert!(callers.enter(one).is_none());
        assert!(callers.enter(other).is_some());
        held.pop();
        held.push(callers.enter(one).expect("the place of the one that left"));
        assert!(callers.enter(one).is_none());
        drop(held);
        let of = callers.of.lock().expect("a lock");
        assert!(of.is_empty(), "nothing is left of those that are gone");
    }

    #[test]
    fn messages_are_counted_or_lines() {
        let first = |bytes: &'static str| {
            frame(bytes.as_bytes()).map(|(m, used)| (String::from_utf8_lossy(m).into_owned(), used))
        };
        assert_eq!(first("5 <6>hi7 <6>four"), Some(("<6>hi".into(), 7)));
        assert_eq!(first("<6>one\n<6>two\n"), Some(("<6>one".into(), 7)));
        assert_eq!(first("12 monkeys\n"), Some(("12 monkeys".into(), 11)));
        for part in ["", "<6>half", "50 <6>half"] {
            assert_eq!(first(part), None, "{part}");
        }
    }
}
