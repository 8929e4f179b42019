//! What is behind a name: the handler of async-tftp.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use async_tftp::packet::Error as TftpError;
use async_tftp::server::Handler;
use bytes::Bytes;
use futures_lite::io::Sink;
use tokio::runtime::Handle;

use super::contents::{AtEnd, Coming, Contents};
use super::limits::{Admission, Place};
use crate::boot::Scope;
use crate::boot::paths::{TftpName, Urls, parse_tftp};
use crate::control::served_document;
use crate::lifecycle::log::clean;
use crate::loader::grub::{self, Via};
use crate::loader::ipxe;
use crate::model::event::printable;
use crate::model::{
    Artefact, ClientStage, DhcpMode, Door, Event, EventKind, Facts, Firmware, MacAddr,
};
use crate::serve::own::{self, Found};
use crate::serve::script::{Language, write};
use crate::serve::{Hot, Waist};

/// Opens what a client asks for. It never waits: async-tftp keeps it locked meanwhile.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) waist: Arc<dyn Waist>,
    pub(super) hot: Arc<Hot>,
    pub(super) runtime: Handle,
    pub(super) local: Ipv4Addr,
    pub(super) admission: Arc<Admission>,
}

/// A reader and, where it is known, the size that `tsize` is answered with.
type Opened = Result<(Contents, Option<u64>), TftpError>;

impl Handler for Desk {
    type Reader = Contents;
    type Writer = Sink;

    async fn read_req_open(&mut self, client: &SocketAddr, path: &Path) -> Opened {
        let IpAddr::V4(ip) = client.ip().to_canonical() else {
            return Err(TftpError::PermissionDenied);
        };
        let name = path.to_str().unwrap_or("");
        let opened = self.open(ip, name);
        let outcome = match &opened {
            Ok((_, size)) => format!("{} bytes", size.unwrap_or(0)),
            Err(TftpError::FileNotFound) => "not found".to_string(),
            Err(TftpError::PermissionDenied) => "refused".to_string(),
            Err(TftpError::Msg(why)) => why.clone(),
            Err(_) => "failed".to_string(),
        };
        let line = clean(&format!("RRQ {}: {outcome}", printable(name, 120)));
        tracing::debug!(client.address = %ip, "{line}");
        if let Some(mac) = self.waist.holder(ip) {
            self.waist.observe(mac, Door::Tftp, line);
        }
        opened
    }

    async fn write_req_open(
        &mut self,
        _client: &SocketAddr,
        _path: &Path,
        _size: Option<u64>,
    ) -> Result<Sink, TftpError> {
        Err(TftpError::PermissionDenied)
    }
}

impl Desk {
    fn open(&self, ip: Ipv4Addr, name: &str) -> Opened {
        if !self.serves(ip) {
            return Err(TftpError::PermissionDenied);
        }
        let asked = parse_tftp(name).ok_or(TftpError::FileNotFound)?;
        let busy = || TftpError::Msg("too many transfers".to_string());
        let place = self.admission.admit(ip).ok_or_else(busy)?;
        let urls = self.waist.urls(ip, self.local, self.waist.http_port());
        match asked {
            TftpName::Loader(name) => {
                let index = self.waist.artefacts();
                let loader = index.loader(&name).ok_or(TftpError::FileNotFound)?;
                Ok(self.artefact(ip, loader.clone(), place))
            }
            TftpName::Artefact { id, digest } => {
                let index = self.waist.artefacts();
                let found = index.exact(&id.distro, &id.name, &digest);
                let artefact = found.ok_or(TftpError::FileNotFound)?;
                Ok(self.artefact(ip, artefact.clone(), place))
            }
            TftpName::Document { token, name } => self.document(ip, &token, &name, place),
            TftpName::Own(path) => self.own(ip, &path, place),
            TftpName::Autoexec => Ok(text(ipxe::autoexec(&urls), place)),
            TftpName::GrubGeneric => Ok(text(grub::generic(&urls, grub::Via::Tftp), place)),
            TftpName::Grub(mac) => {
                let language = Language::Grub(Via::Tftp);
                self.script(ip, mac, Some(Firmware::UEFI), language, &urls, place)
            }
            // U-Boot on any processor reads it, PXELINUX on a BIOS: the name does not say which.
            TftpName::Pxelinux(mac) => self.script(ip, mac, None, Language::Pxelinux, &urls, place),
        }
    }

    /// A document that the loader hands to the kernel, for a loader without http. Nothing else is
    /// given out here, so that nothing is told of the installer.
    fn document(&self, ip: Ipv4Addr, token: &str, name: &str, place: Place) -> Opened {
        let missing = || TftpError::FileNotFound;
        let waist = self.waist.as_ref();
        let granted = waist.authorise(token, Scope::Read).ok_or_else(missing)?;
        let pinned = &granted.pinned;
        let permits = pinned.kind.permitting_answer() == Some(name);
        if !waist.is_home_of(ip, &granted, Scope::Read) {
            waist.misused(&granted, ip);
            return Err(missing());
        }
        if !pinned.way.loads(name) || permits {
            return Err(missing());
        }
        let document = granted.pinned.documents.get(name).filter(|d| !d.secret);
        let document = document.ok_or_else(missing)?;
        let bytes = Bytes::from(served_document(document, waist.key(), &granted.build.key));
        let size = bytes.len() as u64;
        Ok((Contents::here(bytes, place), Some(size)))
    }

    /// What the distro's own boot program asks for, of whoever holds the asking address.
    fn own(&self, ip: Ipv4Addr, path: &str, place: Place) -> Opened {
        let mac = self.waist.holder(ip).ok_or(TftpError::FileNotFound)?;
        let facts = Facts {
            mac,
            ip: Some(ip),
            door: Door::Tftp,
            firmware: None,
            stage: ClientStage::Own,
        };
        match own::find(self.waist.as_ref(), &facts, path) {
            Found::File(file) => {
                let index = self.waist.artefacts();
                let short = file.digest.short();
                let found = index.exact(&file.id.distro, &file.id.name, &short);
                let artefact = found.ok_or(TftpError::FileNotFound)?;
                Ok(self.artefact(ip, artefact.clone(), place))
            }
            Found::Config(config) => {
                self.waist.observe(mac, Door::Tftp, config.outcome());
                let size = config.bytes().len();
                let (waist, runtime) = (self.waist.clone(), self.runtime.clone());
                let coming = Box::pin(async move {
                    let served = runtime
                        .spawn(async move { config.served_in(waist.as_ref(), Some(size)).await });
                    let served = served.await.map_err(io::Error::other)?;
                    // another size is announced when it asks again
                    served.ok_or_else(|| io::Error::other("it may not start now"))
                });
                Ok((Contents::coming(coming, place), Some(size as u64)))
            }
            Found::Nothing(_) => Err(TftpError::FileNotFound),
        }
    }

    /// Whoever holds one of our addresses; where another server hands them out, whoever is in one
    /// of our networks.
    fn serves(&self, ip: Ipv4Addr) -> bool {
        let site = self.waist.site();
        match site.dhcp {
            DhcpMode::Full => self.waist.holder(ip).is_some(),
            DhcpMode::Proxy | DhcpMode::Off => site.subnet_of(ip).is_some(),
        }
    }

    fn artefact(
        &self,
        ip: Ipv4Addr,
        artefact: Arc<Artefact>,
        place: Place,
    ) -> (Contents, Option<u64>) {
        let size = artefact.size;
        let at_end = self.at_end(ip, &artefact);
        let contents = match &artefact.bytes {
            Some(bytes) => Contents::here(Bytes::from_owner(bytes.clone()), place),
            None => Contents::coming(self.read(artefact), place),
        };
        let last_call = self.admission.limits.last_call();
        (contents.at_end(last_call, at_end), Some(size))
    }

    /// Reads a file into memory, in the runtime, once for all who want it.
    fn read(&self, artefact: Arc<Artefact>) -> Coming {
        let (hot, runtime) = (self.hot.clone(), self.runtime.clone());
        Box::pin(async move {
            let read = runtime.spawn(async move {
                let bytes = hot.get(&artefact).await?;
                let too_large = || io::Error::other("too large for TFTP");
                bytes.ok_or_else(too_large)
            });
            read.await.map_err(io::Error::other)?
        })
    }

    /// A per-machine script. It is written now, so that its size is known; that it is served is
    /// told when the transfer first reads, and a script that may not be served is replaced by the
    /// own disk's, in the same size.
    fn script(
        &self,
        ip: Ipv4Addr,
        mac: MacAddr,
        firmware: Option<Firmware>,
        language: Language,
        urls: &Urls,
        place: Place,
    ) -> Opened {
        if !self.waist.speaks_for(ip, mac) {
            tracing::warn!(client.address = %ip, %mac, "a client asked for the boot script of an interface that does not hold its address");
            return Err(TftpError::FileNotFound);
        }
        let facts = Facts {
            mac,
            ip: Some(ip),
            door: Door::Tftp,
            firmware,
            stage: language.stage(),
        };
        let written = write(self.waist.as_ref(), &facts, urls, language);
        self.waist.observe(mac, Door::Tftp, written.outcome());
        let size = written.script.text.len();
        let (waist, runtime) = (self.waist.clone(), self.runtime.clone());
        let coming = Box::pin(async move {
            let served = runtime.spawn(async move {
                let text = written.served_within(waist.as_ref(), size).await;
                // what it grew by is announced when it asks again
                text.ok_or_else(|| io::Error::other("the boot script became longer"))
            });
            fit(served.await.map_err(io::Error::other)??, size)
        });
        Ok((Contents::coming(coming, place), Some(size as u64)))
    }

    fn at_end(&self, ip: Ipv4Addr, artefact: &Artefact) -> Option<AtEnd> {
        let mac = self.waist.holder(ip)?;
        let system = self.waist.site().by_mac.get(&mac)?.name.clone();
        let waist = self.waist.clone();
        let event = Event {
            system,
            epoch: None,
            kind: EventKind::Fetched {
                name: artefact.id.name.clone(),
                size: artefact.size,
                via: "tftp".to_string(),
            },
        };
        Some(Box::new(move || waist.note(event)))
    }
}

fn text(text: String, place: Place) -> (Contents, Option<u64>) {
    let size = text.len() as u64;
    (Contents::here(Bytes::from(text), place), Some(size))
}

/// The text in the size that was announced: empty lines at the end make up for what is missing.
fn fit(mut text: String, size: usize) -> io::Result<Bytes> {
    if text.len() > size {
        return Err(io::Error::other("the boot script was withheld"));
    }
    while text.len() < size {
        text.push('\n');
    }
    Ok(Bytes::from(text))
}
