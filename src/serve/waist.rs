//! What the machine plane needs of the waist, so that a test can stand in one whose store is down.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::boot::paths::Urls;
use crate::boot::{Scope, TokenKey};
use crate::control::{Authorised, Control, TellError, Told};
use crate::model::{
    ArtefactIndex, BuildKey, Decision, DhcpMode, Document, Door, Event, Facts, MacAddr, Site,
    System,
};

/// A `tell` under way.
pub type Telling<'a> = Pin<Box<dyn Future<Output = Result<Told, TellError>> + Send + 'a>>;

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
    /// See [`Control::authorise`].
    fn authorise(&self, token: &str, scope: Scope) -> Option<Authorised>;
    /// See [`Control::holder`].
    fn holder(&self, ip: Ipv4Addr) -> Option<MacAddr>;
    /// See [`Control::seen_at`].
    fn seen_at(&self, ip: Ipv4Addr, mac: MacAddr);
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

    /// Whether a client at this address may speak for this interface.
    ///
    /// Where Farrier hands out the addresses it knows who holds one; then the address must be held
    /// by the interface itself or by another one of the same system. Where it does not, a declared
    /// interface is all that can be asked for.
    fn speaks_for(&self, ip: Ipv4Addr, mac: MacAddr) -> bool {
        let site = self.site();
        if site.dhcp != DhcpMode::Full {
            return true;
        }
        match self.holder(ip) {
            Some(holder) if holder == mac => true,
            Some(holder) => site
                .by_mac
                .get(&mac)
                .is_some_and(|system| system.interface(holder).is_some()),
            None => false,
        }
    }

    /// Whether a client at this address may be this system: its tokens work from nowhere else.
    fn is_home_of(&self, ip: Ipv4Addr, system: &System) -> bool {
        if self.site().dhcp != DhcpMode::Full {
            return true;
        }
        self.holder(ip)
            .is_some_and(|mac| system.interface(mac).is_some())
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

    fn authorise(&self, token: &str, scope: Scope) -> Option<Authorised> {
        Control::authorise(self, token, scope)
    }

    fn holder(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        Control::holder(self, ip)
    }

    fn seen_at(&self, ip: Ipv4Addr, mac: MacAddr) {
        Control::seen_at(self, ip, mac);
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
