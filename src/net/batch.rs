//! Many datagrams in one system call: recvmmsg and sendmmsg with the interface and address of each.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Datagrams per system call.
pub const BATCH: usize = 64;
/// One byte more than the longest datagram that is read, so that a longer one is seen to be.
const ROOM: usize = 4097;
/// Bytes for one control message with an `in_pktinfo` (CMSG_SPACE is 32 on 64-bit Linux).
const CONTROL: usize = 64;

/// A datagram as it came in.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// Its bytes; more than 4096 of them mean that it was longer and is cut.
    pub bytes: &'a [u8],
    /// Where it came from.
    pub source: SocketAddrV4,
    /// The address it was sent to.
    pub destination: Ipv4Addr,
    /// The number of the interface it came in on.
    pub interface: u32,
}

/// A datagram to send.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where it goes.
    pub to: SocketAddrV4,
    /// The address it is sent from, one of this host's; 0.0.0.0 leaves the choice to the kernel.
    pub from: Ipv4Addr,
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// Room for one batch of received datagrams, used again and again.
pub struct Inbox {
    room: Box<[[u8; ROOM]]>,
    sources: Vec<libc::sockaddr_in>,
    controls: Vec<Control>,
    lengths: Vec<usize>,
    infos: Vec<(Ipv4Addr, u32)>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbox({} datagrams)", self.lengths.len())
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox {
            room: vec![[0; ROOM]; BATCH].into_boxed_slice(),
            sources: vec![address(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)); BATCH],
            controls: vec![Control([0; CONTROL]); BATCH],
            lengths: Vec::with_capacity(BATCH),
            infos: Vec::with_capacity(BATCH),
        }
    }
}

impl Inbox {
    /// Waits for at least one datagram and takes as many as are there, from a socket that has
    /// `IP_PKTINFO` set. None if the socket's time limit passed first, or if it does not wait.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        self.lengths.clear();
        self.infos.clear();
        let mut iovecs: [libc::iovec; BATCH] = std::array::from_fn(|i| libc::iovec {
            iov_base: self.room[i].as_mut_ptr().cast(),
            iov_len: ROOM,
        });
        let mut headers: [libc::mmsghdr; BATCH] = std::array::from_fn(|i| {
            message(
                &mut self.sources[i],
                &mut iovecs[i],
                &mut self.controls[i],
                CONTROL,
            )
        });
        #[expect(unsafe_code, reason = "nix's recvmmsg allocates for each message")]
        // SAFETY: each header points to its own source address, iovec, buffer and control area,
        // all of which live in `self` or on this stack until after the call, with their true sizes.
        let count = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                _ => Err(error),
            };
        }
        for header in &headers[..count.unsigned_abs() as usize] {
            self.lengths.push((header.msg_len as usize).min(ROOM));
            self.infos.push(packet_info(&header.msg_hdr));
        }
        Ok(self.lengths.len())
    }

    /// The datagrams of the last call.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        (0..self.lengths.len()).map(|i| Datagram {
            bytes: &self.room[i][..self.lengths[i]],
            source: SocketAddrV4::new(
                Ipv4Addr::from(u32::from_be(self.sources[i].sin_addr.s_addr)),
                u16::from_be(self.sources[i].sin_port),
            ),
            destination: self.infos[i].0,
            interface: self.infos[i].1,
        })
    }
}

/// Sends all on an interface (0 leaves the choice to the routes); each that the kernel refuses is
/// handed to `refused` with its place in the list, and the rest still go.
pub fn send(
    fd: BorrowedFd<'_>,
    interface: u32,
    list: &[Outgoing],
    refused: &mut dyn FnMut(usize, io::Error),
) {
    let mut next = 0;
    while next < list.len() {
        let chunk = &list[next..list.len().min(next + BATCH)];
        let sent = send_some(fd, interface, chunk);
        match sent {
            Ok(count) => next += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                refused(next, error);
                next += 1;
            }
        }
    }
}

fn send_some(fd: BorrowedFd<'_>, interface: u32, chunk: &[Outgoing]) -> io::Result<usize> {
    let mut targets = [address(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)); BATCH];
    let mut controls = [Control([0; CONTROL]); BATCH];
    let mut iovecs: [libc::iovec; BATCH] = std::array::from_fn(|i| match chunk.get(i) {
        // the kernel only reads what is sent
        Some(out) => libc::iovec {
            iov_base: out.bytes.as_ptr().cast_mut().cast(),
            iov_len: out.bytes.len(),
        },
        None => libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        },
    });
    let mut headers: [libc::mmsghdr; BATCH] = std::array::from_fn(|i| {
        let mut length = 0;
        if let Some(out) = chunk.get(i) {
            targets[i] = address(out.to);
            length = write_packet_info(&mut controls[i], interface, out.from);
        }
        message(&mut targets[i], &mut iovecs[i], &mut controls[i], length)
    });
    #[expect(
        unsafe_code,
        reason = "nix's sendmmsg takes one control message for all"
    )]
    // SAFETY: the first `chunk.len()` headers, at most BATCH, point to addresses, iovecs and
    // control areas on this stack and to the bytes in `chunk`, which outlive the call.
    let count = unsafe {
        libc::sendmmsg(
            fd.as_raw_fd(),
            headers.as_mut_ptr(),
            chunk.len() as libc::c_uint,
            0,
        )
    };
    if count < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(count.unsigned_abs() as usize)
}

fn message(
    name: &mut libc::sockaddr_in,
    iovec: &mut libc::iovec,
    control: &mut Control,
    length: usize,
) -> libc::mmsghdr {
    #[expect(
        unsafe_code,
        reason = "the structure has private padding on some targets"
    )]
    // SAFETY: a message header of zeros is valid: null pointers with zero lengths.
    let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
    header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
    header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
    header.msg_hdr.msg_iov = iovec;
    header.msg_hdr.msg_iovlen = 1;
    header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
    header.msg_hdr.msg_controllen = length as _;
    header
}

fn address(to: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*to.ip()).to_be(),
        },
        sin_zero: [0; 8],
    }
}

/// The destination and interface that IP_PKTINFO tells of a received message.
fn packet_info(header: &libc::msghdr) -> (Ipv4Addr, u32) {
    #[expect(
        unsafe_code,
        reason = "control messages are read through libc's macros"
    )]
    // SAFETY: `header` was filled by the kernel, its control area is alive and aligned; the macros
    // stay within `msg_controllen`, and the payload is read unaligned only if its type says that
    // it is an `in_pktinfo`.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            if (*message).cmsg_level == libc::IPPROTO_IP && (*message).cmsg_type == libc::IP_PKTINFO
            {
                let info: libc::in_pktinfo =
                    std::ptr::read_unaligned(libc::CMSG_DATA(message).cast());
                return (
                    Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)),
                    info.ipi_ifindex.unsigned_abs(),
                );
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    (Ipv4Addr::UNSPECIFIED, 0)
}

/// Writes a control message that names interface and source address; returns its length.
fn write_packet_info(control: &mut Control, interface: u32, from: Ipv4Addr) -> usize {
    let info = libc::in_pktinfo {
        // an interface number is a positive int in the kernel
        ipi_ifindex: interface as libc::c_int,
        ipi_spec_dst: libc::in_addr {
            s_addr: u32::from(from).to_be(),
        },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    let size = mem::size_of::<libc::in_pktinfo>() as libc::c_uint;
    #[expect(
        unsafe_code,
        reason = "control messages are written through libc's macros"
    )]
    // SAFETY: the control area is aligned for a `cmsghdr` and larger than CMSG_SPACE of the
    // payload, which is written unaligned behind it.
    unsafe {
        let header: *mut libc::cmsghdr = control.0.as_mut_ptr().cast();
        (*header).cmsg_level = libc::IPPROTO_IP;
        (*header).cmsg_type = libc::IP_PKTINFO;
        (*header).cmsg_len = libc::CMSG_LEN(size) as _;
        std::ptr::write_unaligned(libc::CMSG_DATA(header).cast(), info);
        libc::CMSG_SPACE(size) as usize
    }
}
