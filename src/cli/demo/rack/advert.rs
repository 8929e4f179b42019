//! The rack's IPv6 router: it says at once that there is nothing to be had.
//!
//! iPXE configures IPv6 next to IPv4 and boots only when both are settled; on a network without any
//! router it solicits for 13 seconds before each boot. A network with a router, which is the usual
//! case, answers within milliseconds. So does this one: no prefix, no DHCPv6, lifetime zero.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{Namespace, RackError};

/// ICMPv6 types (RFC 4861 section 4).
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// Answers router solicitations until it is dropped.
#[derive(Debug)]
pub(super) struct Advertiser {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Advertiser {
    pub(super) fn start(namespace: &Namespace, interface: &str) -> Result<Advertiser, RackError> {
        let interface = interface.to_string();
        let opened = namespace.inside(|| open(&interface))?;
        let (socket, index) = opened.map_err(|e| RackError::Command {
            command: "open an ICMPv6 socket".to_string(),
            detail: e.to_string(),
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || answer(&socket, index, &told));
        Ok(Advertiser {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Advertiser {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open(interface: &str) -> std::io::Result<(Socket, u32)> {
    let index = nix::net::if_::if_nametoindex(interface)?;
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.join_multicast_v6(&ALL_ROUTERS, index)?;
    socket.set_multicast_if_v6(index)?;
    // Anything but 255 has passed a router and is not believed (RFC 4861 section 6.1.2).
    socket.set_multicast_hops_v6(255)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok((socket, index))
}

fn answer(mut socket: &Socket, index: u32, stop: &AtomicBool) {
    use std::io::Read;
    let everyone = SockAddr::from(SocketAddrV6::new(ALL_NODES, 0, 0, index));
    let mut buffer = [0u8; 256];
    while !stop.load(Ordering::Relaxed) {
        let Ok(length) = socket.read(&mut buffer) else {
            continue;
        };
        if length > 0 && buffer[0] == ROUTER_SOLICITATION {
            // Type, code, checksum (the kernel's work), hop limit, no flags, lifetime 0, timers 0.
            let mut advertisement = [0u8; 16];
            advertisement[0] = ROUTER_ADVERTISEMENT;
            advertisement[4] = 64;
            // A machine that misses it asks again.
            let _ = socket.send_to(&advertisement, &everyone);
        }
    }
}
