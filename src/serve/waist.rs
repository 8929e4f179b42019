//! What the machine plane needs of the waist, so that a test can stand in one whose store is down.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::boot::paths::Urls;
use crate::boot::{Scope, TokenKey};
use crate::control::{Authorised, Control, TellError, Told};
use crate::model::{
    ArtefactIndex, BuildKey, Decision, DhcpMode, Document, Door, Event, EventKind, Facts, MacAddr,
    Name, Site,
};

/// A `tell` under way.
pub type Telling<'a> = Pin<Box<dyn Future<Output = Result<Told, TellError>> + Send + 'a>>;

/// A log on its way into the store.
pub type Keeping<'a> = Pin<Box<dyn Future<Output = Result<(), TellError>> + Send + 'a>>;

/// The waist as the machine plane sees it. [`Control`] is the one that serves.
pub trait Waist: Send + Sync + 'static {
    /// See [`Control::ask`].
    fn ask(&self, facts: &Facts) -> Decision;
    /// See [`Control::tell`].
    fn tell(&self, event: Event) -> Telling<'_>;
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

    fn http_port(&self) -> u16 {
        match self.places().http_port {
            0 => self.site().server.http_port,
            port => port,
        }
    }
}
