//! What the machine plane needs of the waist, so that a test can stand in one whose store is down.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::boot::paths::Urls;
use crate::boot::{Scope, TokenKey};
use crate::control::{Authorised, Control, TellError, TellReport, Told};
use crate::model::{
    ArtefactIndex, Build, BuildKey, Decision, DhcpMode, Document, Door, Event, EventKind, Facts,
    Firmware, MacAddr, Name, Site,
};

/// A `tell` under way.
pub type Telling<'a> = Pin<Box<dyn Future<Output = Result<Told, TellError>> + Send + 'a>>;

/// A build's documents on their way to fit.
pub type Settling<'a> = Pin<Box<dyn Future<Output = Result<bool, String>> + Send + 'a>>;

/// A log on its way into the store.
pub type Keeping<'a> = Pin<Box<dyn Future<Output = Result<(), TellError>> + Send + 'a>>;

/// A report of a run on its way.
pub type Reporting<'a> = Pin<Box<dyn Future<Output = Result<String, TellReport>> + Send + 'a>>;

/// An enrolment on its way: refused with a sentence, and whether trying again may help.
pub type Enrolling<'a> = Pin<Box<dyn Future<Output = Result<(), (String, bool)>> + Send + 'a>>;

/// The waist as the machine plane sees it. [`Control`] is the one that serves.
pub trait Waist: Send + Sync + 'static {
    /// See [`Control::ask`].
    fn ask(&self, facts: &Facts) -> Decision;
    /// See [`Control::tell`].
    fn tell(&self, event: Event) -> Telling<'_>;
    /// See [`Control::settle`].
    fn settle<'a>(
        &'a self,
        at: Ipv4Addr,
        firmware: Option<Firmware>,
        build: &'a BuildKey,
    ) -> Settling<'a>;
    /// See [`Control::note`].
    fn note(&self, event: Event);
    /// See [`Control::observe`].
    fn observe(&self, mac: MacAddr, door: Door, text: String);
    /// See [`Control::hear`].
    fn hear(&self, mac: MacAddr, line: &str);
    /// See [`Control::keep_log`].
    fn keep_log<'a>(&'a self, build: &'a BuildKey, source: &'a str, text: &'a str) -> Keeping<'a>;
    /// See [`Control::keep_bundle`].
    fn keep_bundle<'a>(&'a self, build: &'a BuildKey, bytes: Bytes) -> Keeping<'a>;
    /// See [`Control::authorise`].
    fn authorise(&self, token: &str, scope: Scope) -> Option<Authorised>;
    /// See [`Control::open_build`].
    fn open_build(&self, mac: MacAddr) -> Option<BuildKey>;
    /// See [`Control::waits_for_firmware`].
    fn waits_for_firmware(&self, build: &BuildKey) -> bool;
    /// See [`Control::document`].
    fn document(&self, build: &BuildKey, name: &str) -> Option<Arc<Document>>;
    /// See [`Control::holder`].
    fn holder(&self, ip: Ipv4Addr) -> Option<MacAddr>;
    /// See [`Control::bound`].
    fn bound(&self, system: &Name) -> Option<Ipv4Addr>;
    /// See [`Control::site`].
    fn site(&self) -> Arc<Site>;
    /// See [`Control::artefacts`].
    fn artefacts(&self) -> Arc<ArtefactIndex>;
    /// See [`Control::key`].
    fn key(&self) -> &TokenKey;
    /// See [`Control::released`].
    ///
    /// # Errors
    /// A sentence, if a secret is not there any more.
    fn released(&self, document: &Document, build: &BuildKey)
    -> Result<Zeroizing<Vec<u8>>, String>;
    /// See [`Control::is_report_token`].
    fn is_report_token(&self, token: &str) -> bool;
    /// See [`Control::run_reported`].
    fn run_reported<'a>(&'a self, text: &'a str) -> Reporting<'a>;
    /// See [`Control::enrol`].
    fn enrol<'a>(&'a self, build: &'a Build, key: &'a str) -> Enrolling<'a>;
    /// The port of the machine plane's HTTP door.
    fn http_port(&self) -> u16;

    /// URLs as this client reaches them: at the address its subnet names, else at the one it spoke
    /// to.
    fn urls(&self, client: Ipv4Addr, spoken_to: Ipv4Addr, port: u16) -> Urls {
        let named = self.site().subnet_of(client).and_then(|s| s.server);
        Urls {
            server: SocketAddrV4::new(named.unwrap_or(spoken_to), port),
        }
    }

    /// Whether a client at this address may speak for this interface: ask for its boot script.
    ///
    /// The address must be held by the interface itself or by another one of the same system. Where
    /// another server hands out the addresses and nothing tells who holds this one, the first to ask
    /// is believed, and the build is bound to its address; unless an address is declared.
    fn speaks_for(&self, ip: Ipv4Addr, mac: MacAddr) -> bool {
        let site = self.site();
        let system = site.by_mac.get(&mac);
        match self.holder(ip) {
            Some(holder) if holder == mac => true,
            Some(holder) => system.is_some_and(|s| s.interface(holder).is_some()),
            None => {
                site.dhcp != DhcpMode::Full
                    && system.is_none_or(|s| s.ip().is_none() && self.bound(&s.name).is_none())
            }
        }
    }

    /// Whether a client at this address may be this system: its tokens work from nowhere else.
    ///
    /// One exception: an installed system may get another address of a foreign DHCP server than its
    /// installer had. Where nothing tells who holds the address, whoever has the secret token, which
    /// only the installer was told, is believed once.
    fn is_home_of(&self, ip: Ipv4Addr, granted: &Authorised, scope: Scope) -> bool {
        let Some(system) = &granted.system else {
            return false;
        };
        match self.holder(ip) {
            Some(holder) => system.interface(holder).is_some(),
            None => {
                self.site().dhcp != DhcpMode::Full
                    && system.ip().is_none()
                    && (granted.build.address.is_none()
                        || scope == Scope::Secret && granted.build.handoff_key.is_none())
            }
        }
    }

    /// Takes down that a good token was used from where its machine is not: whoever can use it has read
    /// it. Noted and not told, so that the answer is as fast as to any other wrong token.
    fn misused(&self, granted: &Authorised, from: Ipv4Addr) {
        let key = &granted.build.key;
        tracing::warn!(
            client.address = %from,
            machine.name = %key.system,
            "a good token was used from an address that its machine does not hold"
        );
        self.note(Event {
            system: key.system.clone(),
            epoch: Some(key.epoch),
            kind: EventKind::TokenMisused { from },
        });
    }

    /// The event that binds a build to the address its machine uses now, if it is not.
    fn binding(&self, ip: Ipv4Addr, system: &Name, epoch: u32) -> Option<Event> {
        let site = self.site();
        let declared = site.systems.get(system)?.ip().is_some();
        let instead_of = self.bound(system);
        (site.dhcp != DhcpMode::Full && !declared && instead_of != Some(ip)).then(|| Event {
            system: system.clone(),
            epoch: Some(epoch),
            kind: EventKind::AddressBound { ip, instead_of },
        })
    }
}

impl Waist for Control {
    fn ask(&self, facts: &Facts) -> Decision {
        Control::ask(self, facts)
    }

    fn tell(&self, event: Event) -> Telling<'_> {
        Box::pin(Control::tell(self, event))
    }

    fn settle<'a>(
        &'a self,
        at: Ipv4Addr,
        firmware: Option<Firmware>,
        build: &'a BuildKey,
    ) -> Settling<'a> {
        Box::pin(Control::settle(self, at, firmware, build))
    }

    fn note(&self, event: Event) {
        Control::note(self, event);
    }

    fn observe(&self, mac: MacAddr, door: Door, text: String) {
        Control::observe(self, mac, door, text);
    }

    fn hear(&self, mac: MacAddr, line: &str) {
        Control::hear(self, mac, line);
    }

    fn keep_log<'a>(&'a self, build: &'a BuildKey, source: &'a str, text: &'a str) -> Keeping<'a> {
        Box::pin(Control::keep_log(self, build, source, text))
    }

    fn keep_bundle<'a>(&'a self, build: &'a BuildKey, bytes: Bytes) -> Keeping<'a> {
        Box::pin(Control::keep_bundle(self, build, bytes))
    }

    fn authorise(&self, token: &str, scope: Scope) -> Option<Authorised> {
        Control::authorise(self, token, scope)
    }

    fn open_build(&self, mac: MacAddr) -> Option<BuildKey> {
        Control::open_build(self, mac)
    }

    fn waits_for_firmware(&self, build: &BuildKey) -> bool {
        Control::waits_for_firmware(self, build)
    }

    fn document(&self, build: &BuildKey, name: &str) -> Option<Arc<Document>> {
        Control::document(self, build, name)
    }

    fn holder(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        Control::holder(self, ip)
    }

    fn bound(&self, system: &Name) -> Option<Ipv4Addr> {
        Control::bound(self, system)
    }

    fn site(&self) -> Arc<Site> {
        Control::site(self)
    }

    fn artefacts(&self) -> Arc<ArtefactIndex> {
        Control::artefacts(self)
    }

    fn key(&self) -> &TokenKey {
        Control::key(self)
    }

    fn released(
        &self,
        document: &Document,
        build: &BuildKey,
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        Control::released(self, document, build)
    }

    fn is_report_token(&self, token: &str) -> bool {
        Control::is_report_token(self, token)
    }

    fn run_reported<'a>(&'a self, text: &'a str) -> Reporting<'a> {
        Box::pin(Control::run_reported(self, text))
    }

    fn enrol<'a>(&'a self, build: &'a Build, key: &'a str) -> Enrolling<'a> {
        Box::pin(Control::enrol(self, build, key))
    }

    fn http_port(&self) -> u16 {
        match self.places().http_port {
            0 => self.site().server.http_port,
            port => port,
        }
    }
}
