//! Opening and closing the doors.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;

use super::Chosen;
use crate::cli::Place;
use crate::control::{Control, Places, ServerAddress};
use crate::model::{DhcpMode, ProfileKind, Refusal};
use crate::serve::http::{self, MachinePlane};
use crate::serve::{Hot, dhcp, fai, syslog, tftp};

/// Boot artefacts held in memory: some distros' kernels and initrds, and every loader.
const HOT_BYTES: u64 = 512 << 20;
/// TFTP sockets on one address: one for each core of a small server.
const TFTP_SHARDS: usize = 2;

/// The open doors.
pub(super) struct Doors {
    api: http::api::Door,
    machine: Option<http::Running>,
    handoff: Option<http::Running>,
    tftp: Vec<tftp::Running>,
    dhcp: Option<dhcp::Running>,
    fai: Option<fai::Running>,
    syslog: Option<syslog::Running>,
}

impl Doors {
    /// Closes them: no new conversation begins, then requests under way may finish.
    pub(super) async fn close(self) {
        if let Some(dhcp) = self.dhcp {
            dhcp.stop();
        }
        for door in self.tftp {
            door.stop();
        }
        if let Some(fai) = self.fai {
            fai.stop().await;
        }
        if let Some(syslog) = self.syslog {
            syslog.stop().await;
        }
        if let Some(handoff) = self.handoff {
            handoff.stop().await;
        }
        if let Some(machine) = self.machine {
            machine.stop().await;
        }
        self.api.stop().await;
    }
}

/// Opens every door. HTTP and TFTP come before DHCP: what is advertised is already served.
pub(super) async fn open(
    control: &Arc<Control>,
    place: &Place,
    chosen: &Chosen,
) -> Result<Doors, Refusal> {
    let site = control.site();
    let tally = control.tally();
    let addresses = chosen.addresses();
    control.set_places(Places {
        addresses: addresses.clone(),
        http_port: site.server.http_port,
        https_port: site.server.https_port,
    });

    let socket = place.socket();
    let listener = http::api::listen(&socket)
        .map_err(|e| cannot("the control socket", &socket.display().to_string(), &e))?;
    let api = http::api::start(listener, http::api::router(control.clone()));
    tally.door_opened(format!("control {}", socket.display()));

    let hot = Arc::new(Hot::new(HOT_BYTES));
    let mut listeners = Vec::new();
    let mut http_port = site.server.http_port;
    for address in &addresses {
        let at = SocketAddrV4::new(address.ip, http_port);
        let listener = listen(at).map_err(|e| cannot("HTTP", &at.to_string(), &e))?;
        if http_port == 0 {
            http_port = listener.local_addr().map_or(0, |a| a.port());
        }
        tally.door_opened(format!("http {}:{http_port}", address.ip));
        listeners.push(listener);
    }
    let mut secure = Vec::new();
    let https_port = site.server.https_port;
    for address in &addresses {
        let at = SocketAddrV4::new(address.ip, https_port);
        secure.push(listen(at).map_err(|e| cannot("HTTPS", &at.to_string(), &e))?);
        tally.door_opened(format!("https {at}"));
    }
    control.set_places(Places {
        addresses: addresses.clone(),
        http_port,
        https_port,
    });
    let (machine, handoff) = if listeners.is_empty() {
        (None, None)
    } else {
        let plane = Arc::new(MachinePlane {
            waist: control.clone(),
            hot: hot.clone(),
            mirrors: super::mirrors::mirrors(control, &place.state)?,
        });
        let limits = http::Limits::default();
        let handoff = http::accept::start_tls(
            secure,
            http::handoff_router(plane.clone()),
            limits.clone(),
            tls(control),
        );
        let machine = http::accept::start(listeners, http::router(plane), limits);
        (
            Some(machine.map_err(|e| cannot("HTTP", "its sockets", &e))?),
            Some(handoff.map_err(|e| cannot("HTTPS", "its sockets", &e))?),
        )
    };

    let mut tftps = Vec::new();
    for address in &addresses {
        let at = SocketAddrV4::new(address.ip, site.server.tftp_port);
        let failed = |e: io::Error| cannot("TFTP", &at.to_string(), &e);
        let sockets = tftp::bind(at, TFTP_SHARDS).map_err(failed)?;
        let running = tftp::start(
            sockets,
            control.clone(),
            hot.clone(),
            tftp::Limits::default(),
        )
        .map_err(failed)?;
        for bound in running.addresses() {
            tally.door_opened(format!("tftp {bound}"));
        }
        tftps.push(running);
    }

    let fai = if site.profiles.values().any(|p| p.kind == ProfileKind::Fai) {
        let mut listeners = Vec::new();
        for address in &addresses {
            let at = SocketAddrV4::new(address.ip, fai::PORT);
            listeners.push(listen(at).map_err(|e| cannot("FAI's monitor", &at.to_string(), &e))?);
            tally.door_opened(format!("fai-monitor {at}"));
        }
        let started = fai::start(listeners, control.clone());
        Some(started.map_err(|e| cannot("FAI's monitor", "its sockets", &e))?)
    } else {
        None
    };

    let syslog = open_syslog(control, &addresses).await?;

    let dhcp = match site.dhcp {
        DhcpMode::Off => None,
        mode if chosen.interfaces.is_empty() => {
            tracing::warn!(
                ?mode,
                "no DHCP door is opened: there is no interface for it"
            );
            None
        }
        _ => {
            let sockets = dhcp::open(&site, &chosen.interfaces)
                .map_err(|e| Refusal::failed(e.to_string()))?;
            let running =
                dhcp::start(control, sockets).map_err(|e| cannot("DHCP", "its sockets", &e))?;
            Some(running)
        }
    };
    Ok(Doors {
        api,
        machine,
        handoff,
        tftp: tftps,
        dhcp,
        fai,
        syslog,
    })
}

/// Logs are a help and no need: where this host's own syslog has the port, machines go without.
async fn open_syslog(
    control: &Arc<Control>,
    addresses: &[ServerAddress],
) -> Result<Option<syslog::Running>, Refusal> {
    let (mut udp, mut tcp) = (Vec::new(), Vec::new());
    for address in addresses {
        let at = SocketAddrV4::new(address.ip, syslog::PORT);
        let bound = match tokio::net::UdpSocket::bind(at).await {
            Ok(socket) => listen(at).map(|listener| (socket, listener)),
            Err(error) => Err(error),
        };
        match bound {
            Ok((socket, listener)) => {
                udp.push(socket);
                tcp.push(listener);
                control.tally().door_opened(format!("syslog {at}"));
            }
            Err(error) => {
                tracing::warn!(%error, "machines' logs are not received at {at}; find who has the port with `ss -lntup`");
            }
        }
    }
    if udp.is_empty() {
        return Ok(None);
    }
    let started = syslog::start(udp, tcp, control.clone());
    started
        .map(Some)
        .map_err(|e| cannot("syslog", "its sockets", &e))
}

/// The present certificate, for each connection.
fn tls(control: &Arc<Control>) -> http::Tls {
    let control = control.clone();
    Arc::new(move || match control.tls() {
        Ok(config) => Some(config),
        Err(error) => {
            tracing::error!(%error, "a connection was closed: there is no certificate for it");
            None
        }
    })
}

fn listen(at: SocketAddrV4) -> io::Result<tokio::net::TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::V4(at))?;
    socket.listen(4096)
}

fn cannot(what: &str, at: &str, error: &io::Error) -> Refusal {
    let refusal = Refusal::failed(format!("{what} cannot be served on {at}: {error}"));
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            refusal.help("another program has that port; find it with `ss -lntup` and stop it")
        }
        io::ErrorKind::PermissionDenied => {
            refusal.help("run as root, or with CAP_NET_BIND_SERVICE")
        }
        io::ErrorKind::AddrNotAvailable => {
            refusal.help("the address is not this host's; see `ip addr` and farrier.toml")
        }
        _ => refusal,
    }
}
