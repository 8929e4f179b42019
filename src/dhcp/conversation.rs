//! The whole DHCP conversation as one pure function: [`answer`].
//!
//! receive -> validate and parse -> [`Request`] -> identify ([`Facts`]) -> ask and choose an address
//! -> [`Reply`] -> encode -> route -> send. This file is the middle; sockets, time and the database
//! are the door's.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use dhcproto::v4::MessageType;

use super::allocate::{Ask, Granted, LeaseTable, Offer, Refusal};
use super::boot::{self, Boot};
use super::facts::facts;
use super::place::Place;
use super::proxy;
use super::reply::{Parts, Reply, compose};
use super::request::Request;
use super::selecting;
use crate::model::{
    Action, ClientStage, Decision, DhcpMode, Door, Facts, Lease, Site, Subnet, System, Timestamp,
};

/// What became of a request.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Who asked.
    pub facts: Facts,
    /// The system, if declared.
    pub system: Option<&'a Arc<System>>,
    /// What it is told, if that was asked: operating systems only want their address.
    pub decision: Option<Decision>,
    /// What to do.
    pub outcome: Outcome<'a>,
    /// Other leases that changed by it, to be made durable before those of the outcome, or alone. No
    /// answer waits for them, and like an [`Outcome::Record`] they hold all the same.
    pub records: Vec<Lease>,
}

/// What to do about a request.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// Nothing, for this reason.
    Silent(Silence),
    /// Send this.
    Reply(Reply<'a>),
    /// Make the lease durable, then send this; if it cannot be made so, tell
    /// [`LeaseTable::uncommitted`] and send nothing.
    Commit(Granted, Reply<'a>),
    /// Make this durable; there is nothing to send. If it cannot be made so, it holds all the same
    /// until a restart: an address that was given back or found in use is not given out as if it
    /// were not.
    Record(Lease, Silence),
    /// Find out whether this address is in use, tell [`LeaseTable::checked`], and ask again with
    /// the same bytes.
    Check(Ipv4Addr),
}

/// Why nothing is sent. Its text goes to `why` and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// Not a kind of message that clients send to servers.
    #[error("it is not a message for a server")]
    Kind,
    /// DHCP is off.
    #[error("DHCP is off here")]
    Off,
    /// `unknown.action` is `ignore`.
    #[error("no declared system has this interface")]
    Unknown,
    /// No `[[subnet]]` fits.
    #[error("no declared subnet is on this link")]
    NoSubnet,
    /// Nothing to give.
    #[error("{0}")]
    NoAddress(Refusal),
    /// The client took another server's offer.
    #[error("it chose another server")]
    OtherServer,
    /// Its address is being checked.
    #[error("its address is being checked")]
    Checking,
    /// Nothing is known of the address it speaks of, and another server may know better.
    #[error("nothing is known of the address it asks for")]
    NoRecord,
    /// Only an owner can give back or decline.
    #[error("the address is not its own")]
    NotOwner,
    /// Reserved addresses cannot be given back.
    #[error("its address is reserved for it and stays so")]
    Reserved,
    /// Its reserved address is leased to another machine still, and there is no pool to wait in.
    #[error(
        "its reserved address is leased to another machine still (`farrier lease ls` names it), and its subnet has no pool"
    )]
    Taken,
    /// Someone else's reservation is newer than its lease.
    #[error(
        "its address is reserved for another machine by now; it has it until its lease ends, and another one when it restarts"
    )]
    Superseded,
    /// Its address was taken out of the pool.
    #[error(
        "its address is in no pool any more; it has it until its lease ends, and another one after that"
    )]
    OutOfPool,
    /// The owner of a reserved address found it in use.
    #[error("it found its reserved address in use by another machine")]
    Conflict,
    /// The address came back.
    #[error("it gave its address back")]
    Released,
    /// The address is in quarantine.
    #[error("it found its address in use by another machine")]
    Declined,
    /// Only boot clients are answered in proxy mode and on port 4011.
    #[error("it is not a boot client, and another server hands out the addresses")]
    NotBooting,
    /// It boots its own disk, which in proxy mode is said by silence.
    #[error("it boots its own disk")]
    OwnDisk,
    /// There is no loader for its firmware, or not on this server.
    #[error(
        "there is no boot loader for its firmware here (`farrier doctor` lists those that are)"
    )]
    NoLoader,
}

/// What [`answer`] works with, for the steps in the files beside this one.
pub(super) struct Turn<'a, 'r, 't> {
    pub(super) request: &'a Request<'r>,
    pub(super) source: SocketAddrV4,
    pub(super) place: &'a Place,
    pub(super) site: &'a Site,
    pub(super) facts: &'t Facts,
    pub(super) system: Option<&'a Arc<System>>,
    pub(super) decision: Option<&'t Decision>,
    pub(super) table: &'t mut LeaseTable,
    pub(super) now: Timestamp,
}

/// What to do about one request. `source` is the address it came from; `ask` is `control.ask`.
pub fn answer<'a>(
    request: &'a Request<'_>,
    source: SocketAddrV4,
    place: &'a Place,
    site: &'a Site,
    ask: &dyn Fn(&Facts) -> Decision,
    table: &mut LeaseTable,
    now: Timestamp,
) -> Answer<'a> {
    let facts = facts(request, place.door);
    let facts = match request.kind {
        MessageType::Request => table.recent.complete(request, facts, now),
        _ => facts,
    };
    let system = site.by_mac.get(&request.mac);
    let wanted = matches!(
        request.kind,
        MessageType::Discover | MessageType::Request | MessageType::Inform
    );
    // The address of a declared operating system depends on no decision. What a few installers are
    // told besides does; of theirs only a boot counts.
    let declared_os = system.is_some() && facts.stage == ClientStage::Os;
    let asks = !declared_os || site.profiles.values().any(|p| p.kind.told_by_dhcp());
    let counts = |d: &Decision| !declared_os || matches!(d.action, Action::Boot(_));
    let decision = (wanted && asks).then(|| ask(&facts)).filter(counts);
    let ignored = decision
        .as_ref()
        .is_some_and(|d| d.action == Action::Ignore);
    let mut turn = Turn {
        request,
        source,
        place,
        site,
        facts: &facts,
        system,
        decision: decision.as_ref(),
        table,
        now,
    };
    let outcome = match place.mode {
        DhcpMode::Off => Outcome::Silent(Silence::Off),
        _ if ignored => Outcome::Silent(Silence::Unknown),
        DhcpMode::Full if place.door != Door::Proxy => turn.full(),
        DhcpMode::Full | DhcpMode::Proxy => proxy::answer(&mut turn),
    };
    let records = turn.table.take_records();
    Answer {
        facts,
        system,
        decision,
        outcome,
        records,
    }
}

impl<'a> Turn<'a, '_, '_> {
    fn full(&mut self) -> Outcome<'a> {
        self.table.follow(self.site);
        match self.request.kind {
            MessageType::Discover => self.discover(),
            MessageType::Request => selecting::answer(self),
            MessageType::Inform => self.inform(),
            MessageType::Release => self.release(),
            MessageType::Decline => self.decline(),
            _ => Outcome::Silent(Silence::Kind),
        }
    }

    fn discover(&mut self) -> Outcome<'a> {
        if self.facts.stage != ClientStage::Os {
            self.table
                .recent
                .discovered(self.request, self.facts, self.now);
        }
        if let Some((ip, subnet)) = self.reservation() {
            let offer = self.table.claim(self.request.mac, ip, self.now);
            return self.offered(offer, subnet);
        }
        let Some(first) = self.pool(self.request.requested) else {
            return Outcome::Silent(match self.subnets().next() {
                Some(_) if self.declared().is_some() => Silence::Taken,
                Some(_) => Silence::NoAddress(Refusal::NoPool),
                None => Silence::NoSubnet,
            });
        };
        let others = self
            .subnets()
            .filter(|s| !s.pool.is_empty() && s.network != first.network);
        for subnet in std::iter::once(first).chain(others) {
            let ask = self.ask(subnet);
            let offer = self.table.offer(&ask, self.request.requested);
            if offer != Offer::Refused(Refusal::Exhausted) {
                return self.offered(offer, subnet);
            }
        }
        Outcome::Silent(Silence::NoAddress(Refusal::Exhausted))
    }

    fn offered(&mut self, offer: Offer, subnet: &'a Subnet) -> Outcome<'a> {
        match offer {
            Offer::Address(ip) => Outcome::Reply(self.reply(MessageType::Offer, ip, subnet)),
            Offer::Check(ip) => Outcome::Check(ip),
            Offer::Checking(_) => Outcome::Silent(Silence::Checking),
            Offer::Refused(refusal) => Outcome::Silent(Silence::NoAddress(refusal)),
        }
    }

    /// A client that has its address asks for the rest (RFC 2131 section 3.4). Never refused.
    fn inform(&mut self) -> Outcome<'a> {
        let ip = self.request.ciaddr.unwrap_or(*self.source.ip());
        let Some(subnet) = self.site.subnet_of(ip) else {
            return Outcome::Silent(Silence::NoSubnet);
        };
        let boot = self.boot(Some(subnet), false);
        Outcome::Reply(compose(
            self.request,
            Parts {
                kind: MessageType::Ack,
                server: self.place.server(Some(subnet)),
                address: None,
                subnet: Some(subnet),
                lease: None,
                name: self.system.map(|s| s.name.as_str()),
                boot,
                proxy: false,
            },
        ))
    }

    fn release(&mut self) -> Outcome<'a> {
        let Some(ip) = self.request.ciaddr else {
            return Outcome::Silent(Silence::NotOwner);
        };
        // Sent from the address itself: another machine that knows the hardware address is not it.
        // Through a relay, from the relay's: then the relay vouches for it.
        if *self.source.ip() != self.request.giaddr.unwrap_or(ip) {
            return Outcome::Silent(Silence::NotOwner);
        }
        if self.site.by_ip.contains_key(&ip) && !self.table.is_holder(self.request.mac, ip) {
            return Outcome::Silent(Silence::Reserved);
        }
        match self.table.release(self.request.mac, ip, self.now) {
            Some(lease) => Outcome::Record(lease, Silence::Released),
            None => Outcome::Silent(Silence::NotOwner),
        }
    }

    fn decline(&mut self) -> Outcome<'a> {
        let request = self.request;
        let Some(ip) = request.requested else {
            return Outcome::Silent(Silence::NotOwner);
        };
        if let Some(id) = request.server
            && !self.place.is_me(id, request, self.site)
        {
            return Outcome::Silent(Silence::OtherServer);
        }
        if self.owned().is_some_and(|(own, _)| own == ip) {
            return match self.table.conflict(request.mac, ip, self.now) {
                Some(lease) => Outcome::Record(lease, Silence::Conflict),
                None => Outcome::Silent(Silence::Conflict),
            };
        }
        match self.table.decline(request.mac, ip, self.now) {
            Some(lease) => Outcome::Record(lease, Silence::Declined),
            None => Outcome::Silent(Silence::NotOwner),
        }
    }

    /// The address that this interface is to take: its own, unless it found another machine there a
    /// short while ago and there is a pool to wait in.
    pub(super) fn reservation(&self) -> Option<(Ipv4Addr, &'a Subnet)> {
        let (ip, subnet) = self.owned()?;
        let declined = self.table.declined(self.request.mac, ip, self.now);
        let waits = declined && self.subnets().any(|s| !s.pool.is_empty());
        (!waits).then_some((ip, subnet))
    }

    /// The address declared for this interface, if it is on this link and nobody else's now: what
    /// another machine had before it was reserved for this one is that machine's until its lease
    /// ends, or it restarts and takes another (as with Kea). Until then the owner is given a pool
    /// address.
    pub(super) fn owned(&self) -> Option<(Ipv4Addr, &'a Subnet)> {
        let (ip, subnet) = self.declared()?;
        let holder = self.table.holder(ip, self.now);
        holder
            .is_none_or(|mac| mac == self.request.mac)
            .then_some((ip, subnet))
    }

    /// The address declared for this interface, if it is on this link.
    pub(super) fn declared(&self) -> Option<(Ipv4Addr, &'a Subnet)> {
        let ip = self.system?.interface(self.request.mac)?.ip?;
        let subnet = self.subnets().find(|s| s.network.contains(&ip))?;
        Some((ip, subnet))
    }

    /// The subnet to take a pool address from: the one it speaks of, else the one it was on, else
    /// the first on this link that has a pool.
    pub(super) fn pool(&self, ip: Option<Ipv4Addr>) -> Option<&'a Subnet> {
        let pools = || self.subnets().filter(|s| !s.pool.is_empty());
        pools()
            .find(|s| ip.is_some_and(|ip| s.network.contains(&ip)))
            .or_else(|| pools().find(|s| self.table.known(&self.ask(s)).is_some()))
            .or_else(|| pools().next())
    }

    pub(super) fn subnets(&self) -> impl Iterator<Item = &'a Subnet> + use<'a> {
        self.place.subnets(self.request, self.site)
    }

    pub(super) fn ask(&self, subnet: &'a Subnet) -> Ask<'a> {
        Ask {
            mac: self.request.mac,
            subnet,
            site: self.site,
            own: &self.place.own,
            now: self.now,
        }
    }

    pub(super) fn boot(&self, subnet: Option<&Subnet>, proxy: bool) -> Option<Boot> {
        let server = self.place.server(subnet);
        let from = boot::Origin {
            loaders: &self.place.loaders,
            server: SocketAddrV4::new(server, self.place.http_port),
            proxy,
            chained: self.table.recent.chained(self.request, self.now),
        };
        boot::boot(self.request, self.facts, self.decision?, from)
    }

    /// An OFFER or ACK of this address, with whatever the client boots.
    pub(super) fn reply(
        &mut self,
        kind: MessageType,
        ip: Ipv4Addr,
        subnet: &'a Subnet,
    ) -> Reply<'a> {
        let boot = self.boot(Some(subnet), false);
        if kind == MessageType::Ack && self.facts.stage == ClientStage::Ipxe {
            let chained = boot.as_ref().is_some_and(|b| b.chained);
            self.table
                .recent
                .acknowledged(self.request, chained, self.now);
        }
        compose(
            self.request,
            Parts {
                kind,
                server: self.place.server(Some(subnet)),
                address: Some(ip),
                subnet: Some(subnet),
                lease: Some(subnet.lease),
                name: self.system.map(|s| s.name.as_str()),
                boot,
                proxy: false,
            },
        )
    }
}
