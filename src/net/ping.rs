//! Is anybody there: ICMP echo, for addresses about to be given out.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

/// How often a prober with something under way looks at its clock.
const STEP: Duration = Duration::from_millis(5);

/// Asks many addresses at once, from a thread of its own.
#[derive(Debug)]
pub struct Prober<T> {
    asks: SyncSender<(Ipv4Addr, T)>,
}

impl<T: Send + 'static> Prober<T> {
    /// Starts a thread that ends when the prober is dropped and its last question is answered. At
    /// most `most` questions are under way; `answer` is told whether the address is in use. If
    /// pings cannot be sent (without CAP_NET_RAW), every address counts as free.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn start(
        most: usize,
        patience: Duration,
        answer: impl FnMut(Ipv4Addr, T, bool) + Send + 'static,
    ) -> io::Result<(Prober<T>, JoinHandle<()>)> {
        let (asks, received) = sync_channel(most);
        let socket = socket().ok();
        let thread = thread::Builder::new()
            .name("dhcp-ping".to_string())
            .spawn(move || run(&received, socket.as_ref(), most, patience, answer))?;
        Ok((Prober { asks }, thread))
    }

    /// Asks about an address; gives `T` back if too many questions are under way.
    ///
    /// # Errors
    /// What was to be asked, unasked.
    pub fn ask(&self, ip: Ipv4Addr, about: T) -> Result<(), T> {
        self.asks.try_send((ip, about)).map_err(|e| match e {
            TrySendError::Full((_, about)) | TrySendError::Disconnected((_, about)) => about,
        })
    }
}

fn run<T>(
    asks: &Receiver<(Ipv4Addr, T)>,
    socket: Option<&Socket>,
    most: usize,
    patience: Duration,
    mut answer: impl FnMut(Ipv4Addr, T, bool),
) {
    let mut pending: HashMap<Ipv4Addr, (Instant, T)> = HashMap::new();
    let mut open = true;
    while open || !pending.is_empty() {
        // wait for a question only if no answer is awaited
        while open && pending.len() < most {
            let next = if pending.is_empty() {
                asks.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                asks.recv_timeout(Duration::ZERO)
            };
            match next {
                Ok((ip, about)) => match socket {
                    Some(socket) if echo(socket, ip).is_ok() => {
                        pending.insert(ip, (Instant::now() + patience, about));
                    }
                    _ => answer(ip, about, false),
                },
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
        }
        if let Some(socket) = socket.filter(|_| !pending.is_empty()) {
            for _ in 0..most {
                let Some(ip) = reply(socket, Instant::now() + STEP) else {
                    break;
                };
                if let Some((_, about)) = pending.remove(&ip) {
                    answer(ip, about, true);
                }
            }
        }
        let now = Instant::now();
        let late: Vec<Ipv4Addr> = pending
            .iter()
            .filter(|(_, (until, _))| *until <= now)
            .map(|(ip, _)| *ip)
            .collect();
        for ip in late {
            if let Some((_, about)) = pending.remove(&ip) {
                answer(ip, about, false);
            }
        }
    }
}

/// Whether this address answers an echo request in time. False also if none can be sent.
pub fn ping(ip: Ipv4Addr, patience: Duration) -> bool {
    let Ok(socket) = socket() else { return false };
    if echo(&socket, ip).is_err() {
        return false;
    }
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if reply(&socket, until) == Some(ip) {
            return true;
        }
    }
    false
}

fn socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    socket.set_read_timeout(Some(STEP))?;
    // Without it everything is looked at here, which is right too.
    let _unfiltered = socket.attach_filter(&REPLIES);
    Ok(socket)
}

/// Lets the kernel pass on echo replies alone, out of all ICMP that this host receives: a classic BPF
/// program over the packet, which begins with its IP header.
const REPLIES: [SockFilter; 5] = {
    const LENGTH: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
    const BYTE_BEHIND: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_IND;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    [
        SockFilter::new(LENGTH as u16, 0, 0, 0),
        // the type is the first byte behind the IP header
        SockFilter::new(BYTE_BEHIND as u16, 0, 0, 0),
        SockFilter::new(IF_EQUAL as u16, 0, 1, 0),
        SockFilter::new(RETURN as u16, 0, 0, u32::MAX),
        SockFilter::new(RETURN as u16, 0, 0, 0),
    ]
};

/// Our own mark in the identifier field.
const MARK: [u8; 2] = *b"Fr";

fn echo(socket: &Socket, ip: Ipv4Addr) -> io::Result<()> {
    echo_marked(socket, ip, MARK)
}

fn echo_marked(socket: &Socket, ip: Ipv4Addr, mark: [u8; 2]) -> io::Result<()> {
    // type 8, code 0, checksum, identifier, sequence 1
    let mut packet = [8, 0, 0, 0, mark[0], mark[1], 0, 1];
    let sum: u32 = packet
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let sum = !((sum & 0xffff) as u16 + (sum >> 16) as u16);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    socket.send_to(&packet, &SocketAddrV4::new(ip, 0).into())?;
    Ok(())
}

/// The sender of the next echo reply to us, if one is there within a few milliseconds and before the
/// given time, however many there are for others.
fn reply(socket: &Socket, until: Instant) -> Option<Ipv4Addr> {
    let mut room = [MaybeUninit::<u8>::uninit(); 128];
    while Instant::now() < until {
        let (length, from) = socket.recv_from(&mut room).ok()?;
        #[expect(unsafe_code, reason = "socket2 returns uninitialised buffers")]
        // SAFETY: the kernel wrote the first `length` bytes.
        let bytes: &[u8] =
            unsafe { std::slice::from_raw_parts(room.as_ptr().cast(), length.min(room.len())) };
        let header = usize::from(bytes.first()? & 0x0f) * 4;
        if bytes.get(header) == Some(&0) && bytes.get(header + 4..header + 6) == Some(&MARK) {
            return from.as_socket_ipv4().map(|a| *a.ip());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    #[expect(clippy::print_stdout, reason = "a test that cannot run says so")]
    fn other_peoples_pings_hold_nobody_up() {
        let (Ok(listener), Ok(other)) = (socket(), socket()) else {
            println!("skipped: raw sockets need CAP_NET_RAW");
            return;
        };
        let flood = Instant::now() + Duration::from_secs(3);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let pinging = thread::spawn(move || {
            while Instant::now() < flood && !stopped.load(Ordering::Relaxed) {
                let _refused = echo_marked(&other, Ipv4Addr::LOCALHOST, *b"xx");
                thread::sleep(Duration::from_millis(1));
            }
        });
        let begun = Instant::now();
        for _ in 0..10 {
            let _another_tests = reply(&listener, Instant::now() + STEP);
        }
        let took = begun.elapsed();
        stop.store(true, Ordering::Relaxed);
        pinging.join().expect("an end");
        assert!(took < Duration::from_secs(2), "{took:?}");
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "a test that cannot run says so")]
    fn the_loopback_answers_and_a_documentation_address_does_not() {
        if socket().is_err() {
            println!("skipped: raw sockets need CAP_NET_RAW");
            return;
        }
        assert!(ping(Ipv4Addr::LOCALHOST, Duration::from_secs(2)));
        // Some gateways answer for every address: what holds here is found out the other way first.
        let documentation = Ipv4Addr::new(192, 0, 2, 1);
        let there = ping(documentation, Duration::from_millis(200));
        let (told, answers) = std::sync::mpsc::channel();
        let (prober, thread) =
            Prober::start(8, Duration::from_millis(50), move |ip, n: u8, used| {
                told.send((ip, n, used)).expect("a listener");
            })
            .expect("a thread");
        assert_eq!(prober.ask(Ipv4Addr::LOCALHOST, 1), Ok(()));
        assert_eq!(prober.ask(documentation, 2), Ok(()));
        drop(prober);
        thread.join().expect("an end");
        let mut all: Vec<_> = answers.iter().collect();
        all.sort();
        assert_eq!(
            all,
            [(Ipv4Addr::LOCALHOST, 1, true), (documentation, 2, there)]
        );
    }
}
