//! A DHCP socket of one interface.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::arp;
use super::batch::{self, Inbox, Outgoing};
use super::frame::RawSocket;
use super::interface::Interface;
use crate::model::MacAddr;

/// Room that the kernel is asked to keep for datagrams not yet read: a rack that powers on sends
/// thousands within a second.
const QUEUE: usize = 8 << 20;
/// How long a read waits before the reader looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(200);

/// Whether the port may be held by another program too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Not. With SO_REUSEADDR two servers would both get the port without an error, and answer the
    /// same clients; so it is left out.
    Alone,
    /// Yes: in proxy mode the other server may run on this very host.
    Shared,
}

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has the port.
    #[error(
        "port {port} on `{interface}` is taken, probably by another DHCP server; stop it (`ss -ulpn sport = :{port}` names it), or set `mode = \"proxy\"` or `mode = \"off\"` under `[dhcp]`"
    )]
    Taken {
        /// The interface's name.
        interface: String,
        /// 67 or 4011.
        port: u16,
    },
    /// Another program has the port and does not share it, which proxy mode needs.
    #[error(
        "port {port} on `{interface}` is taken by a server that does not share it (`ss -ulpn sport = :{port}` names it); for dnsmasq, set `bind-interfaces`, or run it on another host"
    )]
    Unshared {
        /// The interface's name.
        interface: String,
        /// 67 or 4011.
        port: u16,
    },
    /// Not allowed to.
    #[error(
        "port {port} on `{interface}` cannot be opened by this user; run as root, or grant CAP_NET_BIND_SERVICE, CAP_NET_RAW and CAP_NET_ADMIN"
    )]
    Forbidden {
        /// The interface's name.
        interface: String,
        /// 67 or 4011.
        port: u16,
    },
    /// Something else.
    #[error("port {port} on `{interface}` cannot be opened: {source}")]
    Other {
        /// The interface's name.
        interface: String,
        /// 67 or 4011.
        port: u16,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A socket that hears and speaks on one interface only.
#[derive(Debug)]
pub struct DhcpSocket {
    socket: Socket,
    /// None without CAP_NET_RAW: then fresh clients are broadcast to.
    raw: Option<RawSocket>,
    interface: Interface,
    port: u16,
}

impl DhcpSocket {
    /// Opens a port on an interface.
    ///
    /// # Errors
    /// If the port is taken, or this user may not.
    pub fn bind(
        interface: &Interface,
        port: u16,
        sharing: Sharing,
    ) -> Result<DhcpSocket, BindError> {
        let name = interface.name.clone();
        let socket = open(interface, port, sharing).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse if sharing == Sharing::Shared => BindError::Unshared {
                interface: name,
                port,
            },
            io::ErrorKind::AddrInUse => BindError::Taken {
                interface: name,
                port,
            },
            io::ErrorKind::PermissionDenied => BindError::Forbidden {
                interface: name,
                port,
            },
            _ => BindError::Other {
                interface: name,
                port,
                source,
            },
        })?;
        Ok(DhcpSocket {
            socket,
            raw: RawSocket::sender(interface.index).ok(),
            interface: interface.clone(),
            port,
        })
    }

    /// The interface, as it was when the socket was opened.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// 67 or 4011.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits for datagrams, at most a fifth of a second; returns how many there are.
    ///
    /// # Errors
    /// What the kernel says, such as that the interface went down.
    pub fn receive(&self, inbox: &mut Inbox) -> io::Result<usize> {
        inbox.receive(self.socket.as_fd())
    }

    /// Sends all; each that the kernel refuses is handed to `refused` with its place in the list.
    pub fn send(&self, list: &[Outgoing], refused: &mut dyn FnMut(usize, io::Error)) {
        batch::send(self.socket.as_fd(), self.interface.index, list, refused);
    }

    /// Makes an ARP entry, so that a client can be sent to that does not answer ARP yet.
    ///
    /// # Errors
    /// Without CAP_NET_ADMIN, or if no route leads to the address on this interface.
    pub fn neighbour(&self, ip: Ipv4Addr, mac: MacAddr) -> io::Result<()> {
        arp::set(self.socket.as_fd(), &self.interface.name, ip, mac)
    }

    /// Sends to a hardware address, past ARP and routing.
    ///
    /// # Errors
    /// Without CAP_NET_RAW, or if the kernel refuses.
    pub fn send_frame(&self, out: &Outgoing, mac: MacAddr) -> io::Result<()> {
        let raw = self.raw.as_ref().ok_or(io::ErrorKind::PermissionDenied)?;
        let from = SocketAddrV4::new(out.from, self.port);
        raw.send(from, out.to, mac, &out.bytes)
    }
}

fn open(interface: &Interface, port: u16, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(interface.name.as_bytes()))?;
    socket.set_reuse_address(sharing == Sharing::Shared)?;
    socket.set_broadcast(true)?;
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Ipv4PacketInfo, &true)?;
    // Past the system's limit with CAP_NET_ADMIN, else up to it.
    let forced = nix::sys::socket::sockopt::RcvBufForce;
    if nix::sys::socket::setsockopt(&socket, forced, &QUEUE).is_err() {
        socket.set_recv_buffer_size(QUEUE)?;
    }
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into())?;
    Ok(socket)
}
