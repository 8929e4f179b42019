//! A server on a small site, and hosts without an address that ask it.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use farrier::cli::demo::rack::{Host, Patience, Rack, RackError, Server, ServerSettings, until};
use farrier::model::MacAddr;
use farrier::model::view::StatusView;
use socket2::{Domain, Socket, Type};

/// A rack with a server on a site of its own.
pub(crate) struct Desk {
    // Dropped in this order: the server before its rack.
    pub(crate) server: Server,
    pub(crate) rack: Rack,
}

/// The systems of a test: name, hardware address, reserved address.
pub(crate) type Declared<'a> = (&'a str, MacAddr, &'a str);

impl Desk {
    /// A server whose site has these systems, and more in `farrier.toml`.
    pub(crate) fn new(rack: Rack, systems: &[Declared<'_>], more: &str) -> Result<Desk, RackError> {
        let site = write_site(&rack, systems, more)?;
        Desk::serve(rack, site, |_| {})
    }

    /// A server on a site that is there.
    pub(crate) fn serve(
        rack: Rack,
        site: PathBuf,
        change: impl FnOnce(&mut ServerSettings),
    ) -> Result<Desk, RackError> {
        let mut settings = ServerSettings {
            program: PathBuf::from(env!("CARGO_BIN_EXE_farrier")),
            site,
            state: rack.dir().join("state"),
            environment: vec![("FARRIER_LOG".to_string(), "debug".to_string())],
        };
        change(&mut settings);
        let server = Server::start(&rack, settings)?;
        Ok(Desk { server, rack })
    }

    /// What `farrier status` says.
    pub(crate) fn status(&self) -> Result<StatusView, RackError> {
        let text = self.server.must(&["status", "-o", "json"])?;
        Ok(serde_json::from_str(&text).expect("a JSON object"))
    }

    /// Whether a door is open whose words begin so.
    pub(crate) fn has(&self, start: &str) -> Result<bool, RackError> {
        Ok(has(&self.status()?.doors, start))
    }

    /// Waits until the open doors are as `wanted` says.
    pub(crate) fn doors(
        &self,
        what: &str,
        wanted: impl Fn(&[String]) -> bool,
    ) -> Result<(), RackError> {
        let evidence = || {
            let doors = self.status().map(|s| (s.doors, s.attention));
            format!("{doors:?}{}", self.server.tail())
        };
        until(what, Patience::seconds(60), evidence, || {
            Ok(wanted(&self.status()?.doors).then_some(()))
        })
    }

    /// Waits until a DISCOVER from this host is answered.
    pub(crate) fn answered(&self, host: &Host) -> Result<(), RackError> {
        until(
            "an OFFER",
            Patience::seconds(60),
            || self.server.tail(),
            || Ok(discover(host, Duration::from_millis(500))?.map(|_| ())),
        )
    }

    /// Changes a file of the site.
    pub(crate) fn edit(
        &self,
        file: &str,
        change: impl Fn(&str) -> String,
    ) -> Result<(), RackError> {
        let path = self.server.site().join(file);
        let text = std::fs::read_to_string(&path).map_err(RackError::file(&path))?;
        std::fs::write(&path, change(&text)).map_err(RackError::file(&path))
    }
}

/// Whether one of these begins so.
pub(crate) fn has(doors: &[String], start: &str) -> bool {
    doors.iter().any(|d| d.starts_with(start))
}

/// A small sound site: one live profile, whose kernel is a file of it.
pub(crate) fn write_site(
    rack: &Rack,
    systems: &[Declared<'_>],
    more: &str,
) -> Result<PathBuf, RackError> {
    let site = rack.dir().join("site");
    let put = |name: &str, text: &str| {
        let path = site.join(name);
        let dir = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(RackError::file(&path))
    };
    put(
        "farrier.toml",
        &format!(
            "[server]\ninterfaces = [\"br0\"]\n[[subnet]]\nnetwork = \"10.77.0.0/24\"\n\
             router = \"10.77.0.1\"\npool = [\"10.77.0.100-10.77.0.103\"]\n{more}"
        ),
    )?;
    put(
        "boot/rescue.toml",
        "kernel = \"linux\"\n[artefact.linux]\nfile = \"files/linux\"\n",
    )?;
    put("files/linux", "not really a kernel\n")?;
    put(
        "profiles/rescue/profile.toml",
        "kind = \"live\"\ndistro = \"rescue\"\ncmdline = \"quiet\"\n",
    )?;
    let mut text = "[defaults]\nprofile = \"rescue\"\n".to_string();
    for (name, mac, ip) in systems {
        text.push_str(&format!(
            "[system.{name}]\nmac = \"{mac}\"\nip = \"{ip}\"\n"
        ));
    }
    put("systems.toml", &text)?;
    Ok(site)
}

/// Broadcasts a DISCOVER from a host without an address, which asks for its answer by broadcast, for
/// a plain socket hears nothing else. The address that it is offered, if it is.
fn discover(host: &Host, patience: Duration) -> Result<Option<Ipv4Addr>, RackError> {
    let packet = packet(host.mac(), true);
    let device = host.interface().as_bytes().to_vec();
    host.namespace().inside(move || {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
        socket.bind_device(Some(&device)).expect("the interface");
        socket.set_broadcast(true).expect("broadcast");
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);
        socket.bind(&any.into()).expect("port 68");
        let socket = UdpSocket::from(socket);
        let everyone = SocketAddrV4::new(Ipv4Addr::BROADCAST, 67);
        socket.send_to(&packet, everyone).expect("sent");
        let until = Instant::now() + patience;
        let mut room = [0; 2048];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            socket.set_read_timeout(Some(left)).expect("a timeout");
            if let Ok((length, _)) = socket.recv_from(&mut room)
                && let Some(ip) = offered(&room[..length], host.mac())
            {
                return Some(ip);
            }
        }
    })
}

/// The address that a BOOTP reply offers to this client.
pub(crate) fn offered(bytes: &[u8], mac: MacAddr) -> Option<Ipv4Addr> {
    let ours = bytes.len() > 240 && bytes[0] == 2 && bytes[28..34] == mac.0;
    let four: [u8; 4] = bytes.get(16..20)?.try_into().ok()?;
    ours.then(|| Ipv4Addr::from(four))
}

/// A DISCOVER; `broadcast` sets the flag that asks for the answer by broadcast.
pub(crate) fn packet(mac: MacAddr, broadcast: bool) -> Vec<u8> {
    let mut out = vec![0; 240];
    out[..4].copy_from_slice(&[1, 1, 6, 0]);
    out[4..8].copy_from_slice(&[0x26, 0xf3, 0x03, 0x01]);
    out[10] = if broadcast { 0x80 } else { 0 };
    out[28..34].copy_from_slice(&mac.0);
    out[236..].copy_from_slice(&[99, 130, 83, 99]);
    out.extend_from_slice(&[53, 1, 1, 255]);
    out.resize(300, 0);
    out
}
