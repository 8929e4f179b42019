//! Opening and closing the doors, at start and whenever the site or this host's interfaces change.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use super::Chosen;
use super::plan::{Wanted, wanted};
use crate::cli::Place;
use crate::control::{Control, Places};
use crate::model::{Refusal, Site};
use crate::serve::http::{self, MachinePlane};
use crate::serve::{Hot, dhcp, fai, syslog, tftp};

/// Boot artefacts held in memory: some distros' kernels and initrds, and every loader.
const HOT_BYTES: u64 = 512 << 20;
/// TFTP sockets on one address: one for each core of a small server.
const TFTP_SHARDS: usize = 2;

/// The open doors.
pub(super) struct Doors {
    control: Arc<Control>,
    hot: Arc<Hot>,
    api: http::api::Door,
    machine: http::Running,
    handoff: http::Running,
    open: BTreeMap<Wanted, Open>,
}

/// A door that ought to be open and cannot be.
#[derive(Debug)]
pub(super) struct Unopened {
    pub(super) door: Wanted,
    pub(super) why: Refusal,
}

/// A door, with what it takes to shut it.
enum Open {
    Http(SocketAddr),
    Https(SocketAddr),
    Tftp(tftp::Running),
    Fai(fai::Running),
    Syslog(syslog::Running),
    Dhcp(dhcp::Running),
}

impl Doors {
    /// Opens the control socket and nothing else.
    ///
    /// # Errors
    /// If the socket cannot be made, or the mirror's directory.
    pub(super) fn new(control: &Arc<Control>, place: &Place) -> Result<Doors, Refusal> {
        let socket = place.socket();
        let listener = http::api::listen(&socket)
            .map_err(|e| cannot("The control socket", &socket.display().to_string(), &e))?;
        let api = http::api::start(listener, http::api::router(control.clone()));
        let tally = control.tally();
        tally.door_opened(format!("control {}", socket.display()));
        let hot = Arc::new(Hot::new(HOT_BYTES));
        let plane = Arc::new(MachinePlane {
            waist: control.clone(),
            hot: hot.clone(),
            mirrors: super::mirrors::mirrors(control, &place.state)?,
        });
        let limits = http::Limits::default();
        let handoff = http::handoff_router(plane.clone());
        let handoff = http::accept::start_tls(Vec::new(), handoff, limits.clone(), tls(control))
            .map_err(|e| cannot("HTTPS", "its sockets", &e))?;
        let machine = http::accept::start(Vec::new(), http::router(plane), limits)
            .map_err(|e| cannot("HTTP", "its sockets", &e))?;
        Ok(Doors {
            control: control.clone(),
            hot,
            api,
            machine,
            handoff,
            open: BTreeMap::new(),
        })
    }

    /// Makes the open doors those that the site in force and these interfaces want: shuts what is
    /// not wanted any more, then opens what is missing. Answers which ones could not be opened, and
    /// why; they are tried again the next time.
    pub(super) async fn follow(&mut self, chosen: &Chosen) -> Vec<Unopened> {
        let site = self.control.site();
        let mut wanted = wanted(&site, chosen);
        let mut refused = Vec::new();
        let gone: Vec<Wanted> = self
            .open
            .keys()
            .filter(|w| !wanted.contains(w))
            .cloned()
            .collect();
        // DHCP first: what is shut is advertised no more
        for door in gone.iter().rev() {
            self.shut(door).await;
        }
        wanted.retain(|w| !self.open.contains_key(w));
        let (dhcp, others): (Vec<_>, Vec<_>) = wanted
            .into_iter()
            .partition(|w| matches!(w, Wanted::Dhcp(..)));
        for door in others {
            if let Err(why) = self.open_one(&door, &site, chosen).await {
                refused.push(Unopened { door, why });
            }
        }
        self.advertise(&site, chosen);
        for door in dhcp {
            if let Err(why) = self.open_one(&door, &site, chosen).await {
                refused.push(Unopened { door, why });
            }
        }
        refused
    }

    /// Tells the waist under which addresses machines reach this server: those that loaders, scripts
    /// and the hand-off are served on.
    fn advertise(&self, site: &Site, chosen: &Chosen) {
        let served = |ip: Ipv4Addr| {
            let on = |is: fn(&Wanted) -> bool| {
                let mut doors = self.open.keys();
                doors.any(|w| is(w) && w.address() == Some(ip))
            };
            on(|w| matches!(w, Wanted::Http(..)))
                && on(|w| matches!(w, Wanted::Https(..)))
                && on(|w| matches!(w, Wanted::Tftp(..)))
        };
        let mut addresses = chosen.addresses();
        addresses.retain(|a| served(a.ip));
        let places = Places {
            addresses,
            http_port: site.server.http_port,
            https_port: site.server.https_port,
        };
        if *self.control.places() != places {
            self.control.set_places(places);
        }
    }

    async fn open_one(
        &mut self,
        door: &Wanted,
        site: &Site,
        chosen: &Chosen,
    ) -> Result<(), Refusal> {
        let failed = |e: io::Error| cannot_open(door, &e);
        let tally = self.control.tally();
        let open = match door {
            Wanted::Http(ip, port) => {
                let at = SocketAddrV4::new(*ip, *port);
                let listener = listen(at).map_err(failed)?;
                self.machine.listen(listener).map_err(failed)?;
                tally.door_opened(format!("http {at}"));
                Open::Http(at.into())
            }
            Wanted::Https(ip, port) => {
                let at = SocketAddrV4::new(*ip, *port);
                let listener = listen(at).map_err(failed)?;
                self.handoff.listen(listener).map_err(failed)?;
                tally.door_opened(format!("https {at}"));
                Open::Https(at.into())
            }
            Wanted::Tftp(ip, port, mtu) => {
                let at = SocketAddrV4::new(*ip, *port);
                let sockets = tftp::bind(at, TFTP_SHARDS).map_err(failed)?;
                let limits = tftp::Limits::for_mtu(*mtu);
                let (waist, hot) = (self.control.clone(), self.hot.clone());
                let running = tftp::start(sockets, waist, hot, limits).map_err(failed)?;
                for bound in running.addresses() {
                    tally.door_opened(format!("tftp {bound}"));
                }
                Open::Tftp(running)
            }
            Wanted::Fai(ip) => {
                let listener = listen(SocketAddrV4::new(*ip, fai::PORT)).map_err(failed)?;
                let running = fai::start(vec![listener], self.control.clone()).map_err(failed)?;
                for bound in running.addresses() {
                    tally.door_opened(format!("fai-monitor {bound}"));
                }
                Open::Fai(running)
            }
            Wanted::Syslog(ip) => {
                let at = SocketAddrV4::new(*ip, syslog::PORT);
                let socket = tokio::net::UdpSocket::bind(at).await.map_err(failed)?;
                let listener = listen(at).map_err(failed)?;
                let waist = self.control.clone();
                let running = syslog::start(vec![socket], vec![listener], waist).map_err(failed)?;
                tally.door_opened(format!("syslog {at}"));
                Open::Syslog(running)
            }
            Wanted::Dhcp(name, ..) => {
                let places = self.control.places();
                let here = chosen.interfaces.iter().find(|i| i.name == *name);
                // Its addresses could not be opened, which was said: nothing can be advertised.
                let Some(interface) = here.filter(|i| places.networks_on(&i.name).next().is_some())
                else {
                    return Ok(());
                };
                let sockets = dhcp::open(site, std::slice::from_ref(interface))
                    .map_err(|e| Refusal::failed(e.to_string()))?;
                Open::Dhcp(dhcp::start(&self.control, sockets).map_err(failed)?)
            }
        };
        self.open.insert(door.clone(), open);
        Ok(())
    }

    async fn shut(&mut self, door: &Wanted) {
        let Some(open) = self.open.remove(door) else {
            return;
        };
        tracing::info!("{door} is shut: the site or this host's interfaces changed");
        match open {
            Open::Http(at) => {
                self.machine.leave(at).await;
                self.control.tally().door_shut(&format!("http {at}"));
            }
            Open::Https(at) => {
                self.handoff.leave(at).await;
                self.control.tally().door_shut(&format!("https {at}"));
            }
            open => close(open, &self.control).await,
        }
    }

    /// Closes all: no new conversation begins, then requests under way may finish.
    pub(super) async fn close(mut self) {
        while let Some((_, open)) = self.open.pop_last() {
            close(open, &self.control).await;
        }
        self.handoff.stop().await;
        self.machine.stop().await;
        self.api.stop().await;
    }
}

/// Shuts a door and waits until it is.
async fn close(open: Open, control: &Control) {
    let tally = control.tally();
    let shut = match open {
        Open::Http(_) | Open::Https(_) => return,
        Open::Fai(running) => {
            for at in running.addresses() {
                tally.door_shut(&format!("fai-monitor {at}"));
            }
            return running.stop().await;
        }
        Open::Syslog(running) => {
            for at in running.addresses() {
                tally.door_shut(&format!("syslog {at}"));
            }
            return running.stop().await;
        }
        // these wait for threads
        Open::Tftp(running) => {
            for at in running.addresses() {
                tally.door_shut(&format!("tftp {at}"));
            }
            tokio::task::spawn_blocking(move || running.stop())
        }
        Open::Dhcp(running) => tokio::task::spawn_blocking(move || running.stop()),
    };
    if shut.await.is_err() {
        tracing::error!("a door could not be shut: this is a mistake in Farrier");
    }
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

fn cannot_open(door: &Wanted, error: &io::Error) -> Refusal {
    let text = door.to_string();
    let (what, at) = text.split_once(" on ").unwrap_or((&text, "its sockets"));
    cannot(what, at, error)
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
