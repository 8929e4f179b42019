//! The table of leases, offers and quarantines.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;

use super::ask::{Ask, Granted, MOST_DECLINES, Offer, Refusal};
use super::pool::Pool;
use super::reserved::Reserved;
use crate::dhcp::recent::Recent;
use crate::model::{Digest, Lease, LeaseState, MacAddr, Site, Timestamp};

/// How long an offer is held, in seconds.
const HOLD: i64 = 60;
/// How long an address that someone else uses is not given out.
const QUARANTINE: Duration = Duration::from_secs(3600);
/// How long an answer about an address in use is waited for, in seconds, before it is taken as free.
const CHECK_PATIENCE: i64 = 2;

/// All addresses: who holds them, who was offered them, which are not to be used.
#[derive(Debug, Default)]
pub struct LeaseTable {
    pub(super) leases: HashMap<Ipv4Addr, Lease>,
    pub(super) holds: HashMap<Ipv4Addr, Hold>,
    pub(super) hold_ends: VecDeque<(i64, Ipv4Addr)>,
    pub(super) by_mac: HashMap<MacAddr, Vec<Ipv4Addr>>,
    pools: HashMap<Ipv4Net, Pool>,
    revision: Option<Digest>,
    declines: HashMap<MacAddr, (u8, i64)>,
    /// When `declines` was last cleared of those that no longer count.
    declines_cleared: i64,
    /// What could not be committed while a later lease of the same address was on its way, with
    /// what it had replaced.
    lost: HashMap<Ipv4Addr, Granted>,
    pub(super) reserved: HashMap<Ipv4Addr, Reserved>,
    /// Leases that changed besides the one that was asked for, and are to be made durable.
    pub(super) records: Vec<Lease>,
    /// What is remembered of clients in mid-conversation.
    pub recent: Recent,
}

#[derive(Debug)]
pub(super) struct Hold {
    pub(super) mac: MacAddr,
    until: i64,
    /// Asked about since; none means known to be free.
    checking: Option<i64>,
    /// The record that the address had before: it holds again if the offer comes to nothing.
    was: Option<Lease>,
}

impl LeaseTable {
    /// A table of what was committed before.
    pub fn load(leases: impl IntoIterator<Item = Lease>) -> Self {
        let mut table = LeaseTable::default();
        for lease in leases {
            table.put(lease);
        }
        table
    }

    /// Chooses an address for a DISCOVER and holds it for a minute: the client's own of before, else
    /// the one it asks for if that is free, else one never used, else the one longest out of use.
    pub fn offer(&mut self, ask: &Ask<'_>, requested: Option<Ipv4Addr>) -> Offer {
        let now = ask.now.as_second();
        self.follow(ask.site);
        self.end_holds(now);
        if ask.subnet.pool.is_empty() {
            return Offer::Refused(Refusal::NoPool);
        }
        if let Some(ip) = self.known(ask) {
            if let Some(offer) = self.held(ip, now) {
                return offer;
            }
            // What ended may be anyone's; once offered again it is this client's to take.
            if self.holder(ip, ask.now).is_none() {
                self.hold(ip, ask.mac, now, None, None);
            }
            return Offer::Address(ip);
        }
        if let Some((count, since)) = self.declines.get(&ask.mac)
            && *count >= MOST_DECLINES
            && now - since < QUARANTINE.as_secs() as i64
        {
            return Offer::Refused(Refusal::TooManyDeclines);
        }
        let Some(ip) = requested
            .filter(|ip| self.grantable(*ip, ask))
            .or_else(|| self.next(ask))
        else {
            return Offer::Refused(Refusal::Exhausted);
        };
        self.check(ip, ask.mac, now)
    }

    /// Grants what a REQUEST asks for. The lease is not valid before it is committed.
    ///
    /// An address that this client was never offered is granted if it is free and the client has no
    /// other: after a restart the offers are forgotten, and renewals may be of a lost table.
    ///
    /// # Errors
    /// The address that the client should have instead, if one is known.
    pub fn request(
        &mut self,
        ask: &Ask<'_>,
        ip: Ipv4Addr,
        hostname: Option<String>,
    ) -> Result<Granted, Option<Ipv4Addr>> {
        self.follow(ask.site);
        self.end_holds(ask.now.as_second());
        // What it holds it may keep, whatever older record there is of it.
        if !(self.is_holder(ask.mac, ip) && assignable(ip, ask)) {
            match self.known(ask) {
                Some(known) if known != ip => return Err(Some(known)),
                Some(_) => {}
                None if self.grantable(ip, ask) => {}
                None => return Err(None),
            }
        }
        Ok(self.grant(ask, ip, hostname))
    }

    /// Renews what a client has by lease, in a pool or not, unless it is promised to another machine
    /// by now. The lease is not valid before it is committed.
    pub fn renew(
        &mut self,
        ask: &Ask<'_>,
        ip: Ipv4Addr,
        hostname: Option<String>,
    ) -> Option<Granted> {
        let kept = self.is_holder(ask.mac, ip) && unclaimed(ip, ask);
        kept.then(|| self.grant(ask, ip, hostname))
    }

    fn grant(&mut self, ask: &Ask<'_>, ip: Ipv4Addr, hostname: Option<String>) -> Granted {
        let lease = Lease {
            ip,
            mac: ask.mac,
            state: LeaseState::Bound,
            granted: ask.now,
            expires: later(ask.now, ask.subnet.lease),
            hostname,
        };
        self.holds.remove(&ip);
        let before = self.put(lease.clone());
        self.leave(ask, ip);
        Granted { lease, before }
    }

    /// Takes an address back from its holder; it stays the holder's for as long as no one else needs
    /// it. None if it is not this client's.
    pub fn release(&mut self, mac: MacAddr, ip: Ipv4Addr, now: Timestamp) -> Option<Lease> {
        let lease = self.leases.get(&ip)?;
        if lease.mac != mac || lease.state != LeaseState::Bound {
            return None;
        }
        let lease = Lease {
            state: LeaseState::Released,
            expires: now,
            ..lease.clone()
        };
        self.put(lease.clone());
        Some(lease)
    }

    /// Sets an address aside that its holder found in use by someone else. None if it is not this
    /// client's.
    pub fn decline(&mut self, mac: MacAddr, ip: Ipv4Addr, now: Timestamp) -> Option<Lease> {
        let held = self.holds.get(&ip).is_some_and(|h| h.mac == mac);
        let leased = self
            .leases
            .get(&ip)
            .is_some_and(|l| l.mac == mac && l.state == LeaseState::Bound);
        if !held && !leased {
            return None;
        }
        self.forget_declines(now.as_second());
        let count = self.declines.entry(mac).or_insert((0, now.as_second()));
        if now.as_second() - count.1 >= QUARANTINE.as_secs() as i64 {
            *count = (0, now.as_second());
        }
        count.0 = count.0.saturating_add(1);
        Some(self.set_aside(ip, mac, now))
    }

    /// Says whether an address that was to be checked is in use. If so it is set aside, and the
    /// record of that is returned: a quarantine, or the longer lease of whoever had it last and is
    /// at work there still.
    pub fn checked(&mut self, ip: Ipv4Addr, in_use: bool, now: Timestamp) -> Option<Lease> {
        let hold = self.holds.get_mut(&ip)?;
        hold.checking?;
        hold.checking = None;
        let mac = hold.mac;
        in_use.then(|| self.set_aside(ip, mac, now))
    }

    /// A lease could not be committed: what it replaced holds again, or it counts as an offer. What
    /// became of the address meanwhile (given back, declined) stays.
    ///
    /// Leases are committed in the order they were granted in. If one fails while the next for the
    /// same address is on its way, that one is told what really held before.
    pub fn uncommitted(&mut self, granted: &Granted, now: Timestamp) {
        let Granted { lease, before } = granted;
        let ip = lease.ip;
        let before = match self.lost.remove(&ip) {
            Some(lost) if before.as_ref() == Some(&lost.lease) => lost.before,
            _ => before.clone(),
        };
        if self.leases.get(&ip) != Some(lease) {
            let lease = lease.clone();
            self.lost.insert(ip, Granted { lease, before });
            return;
        }
        match before {
            Some(before) => {
                self.put(before);
            }
            None => self.drop_lease(lease),
        }
        if self.holder(ip, now).is_none() {
            self.hold(ip, lease.mac, now.as_second(), None, None);
        }
    }

    /// The client chose another server: what it was offered is free.
    pub fn forgo(&mut self, mac: MacAddr) {
        let Some(ips) = self.by_mac.get(&mac).cloned() else {
            return;
        };
        for ip in ips {
            if self.holds.get(&ip).is_some_and(|h| h.mac == mac) {
                self.drop_hold(ip);
            }
        }
    }

    /// The address of this subnet that this client was offered, else the one that it holds, else the
    /// one that it held last.
    pub fn known(&self, ask: &Ask<'_>) -> Option<Ipv4Addr> {
        let ips = self.by_mac.get(&ask.mac)?;
        let usable = ips.iter().copied().filter(|ip| {
            ask.subnet.network.contains(ip)
                && assignable(*ip, ask)
                && self
                    .leases
                    .get(ip)
                    .is_none_or(|l| l.state != LeaseState::Declined)
        });
        usable.max_by_key(|ip| {
            let offered = self.holds.get(ip).is_some_and(|h| h.mac == ask.mac);
            let lease = self.leases.get(ip);
            let valid = self.holder(*ip, ask.now) == Some(ask.mac);
            (offered, valid, lease.map(|l| l.granted))
        })
    }

    /// Whether the client holds this very address as an acknowledged lease.
    pub fn is_holder(&self, mac: MacAddr, ip: Ipv4Addr) -> bool {
        self.leases
            .get(&ip)
            .is_some_and(|l| l.mac == mac && l.state == LeaseState::Bound)
    }

    /// Who holds an address now: by lease, or because it was reserved for it when it was last
    /// acknowledged.
    pub fn holder(&self, ip: Ipv4Addr, now: Timestamp) -> Option<MacAddr> {
        let leased = self
            .leases
            .get(&ip)
            .filter(|l| l.state == LeaseState::Bound && l.expires > now)
            .map(|l| l.mac);
        leased.or_else(|| {
            let reserved = self.reserved.get(&ip);
            reserved.filter(|r| r.expires > now).map(|r| r.mac)
        })
    }

    /// Every address that is held now, who holds it, and until when, in no order.
    pub fn held_now(&self, now: Timestamp) -> impl Iterator<Item = (Ipv4Addr, MacAddr, Timestamp)> {
        let bound = move |l: &&Lease| l.state == LeaseState::Bound && l.expires > now;
        let leases = self.leases.values().filter(bound);
        let leases = leases.map(|l| (l.ip, l.mac, l.expires));
        let reserved = self.reserved.iter().filter(move |(_, r)| r.expires > now);
        leases.chain(reserved.map(|(ip, r)| (*ip, r.mac, r.expires)))
    }

    /// Who held an address last, however long ago, if it was not given back, and nobody else was
    /// offered it since. While it is being checked for another it is still whose it was.
    pub fn last_holder(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        if let Some(reserved) = self.reserved.get(&ip) {
            return Some(reserved.mac);
        }
        let hold = self.holds.get(&ip);
        let was = hold
            .filter(|h| h.checking.is_some())
            .and_then(|h| h.was.as_ref());
        let lease = was.or_else(|| self.leases.get(&ip))?;
        let offered = was.is_none() && hold.is_some_and(|h| h.mac != lease.mac);
        (lease.state == LeaseState::Bound && !offered).then_some(lease.mac)
    }

    /// The acknowledged dynamic addresses of one client, the latest first.
    pub fn addresses(&self, mac: MacAddr) -> Vec<Ipv4Addr> {
        let mut held: Vec<&Lease> = self
            .by_mac
            .get(&mac)
            .into_iter()
            .flatten()
            .filter_map(|ip| self.leases.get(ip))
            .filter(|l| l.state == LeaseState::Bound)
            .collect();
        held.sort_by_key(|l| std::cmp::Reverse(l.granted));
        held.into_iter().map(|l| l.ip).collect()
    }

    /// Every lease that was ever granted and not replaced, in no order.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values()
    }

    /// The leases that changed besides those that were asked for, since this was last asked: to be
    /// made durable, for a restart would bring the old ones back.
    pub fn take_records(&mut self) -> Vec<Lease> {
        std::mem::take(&mut self.records)
    }

    /// A new revision of the site may have other pools and reservations.
    pub fn follow(&mut self, site: &Site) {
        if self.revision == Some(site.revision) {
            return;
        }
        self.revision = Some(site.revision);
        self.unreserve(site);
        self.pools.clear();
        for subnet in &site.subnets {
            self.pools
                .insert(subnet.network, Pool::new(subnet.pool.clone()));
        }
        for lease in self.leases.values() {
            let pool = self.pools.iter_mut().find(|(n, _)| n.contains(&lease.ip));
            if let Some((_, pool)) = pool {
                pool.moved(lease.ip, None, Some(lease.expires.as_second()));
            }
        }
    }

    fn next(&mut self, ask: &Ask<'_>) -> Option<Ipv4Addr> {
        let LeaseTable {
            pools,
            leases,
            holds,
            ..
        } = self;
        let pool = pools.get_mut(&ask.subnet.network)?;
        pool.next(|ip| assignable(ip, ask) && !leases.contains_key(&ip) && !holds.contains_key(&ip))
            .or_else(|| {
                pool.ended(ask.now.as_second(), |ip| {
                    assignable(ip, ask) && !holds.contains_key(&ip)
                })
            })
    }

    /// Whether a particular address may go to this client: of the pool, and never anyone else's.
    fn grantable(&self, ip: Ipv4Addr, ask: &Ask<'_>) -> bool {
        assignable(ip, ask) && !self.holds.contains_key(&ip) && !self.leases.contains_key(&ip)
    }

    fn forget_declines(&mut self, now: i64) {
        let hour = QUARANTINE.as_secs() as i64;
        if (now - self.declines_cleared).abs() >= hour {
            self.declines_cleared = now;
            self.declines.retain(|_, (_, since)| now - *since < hour);
        }
    }

    /// Holds an address for a client while it is made sure that nobody uses it. The record that it
    /// had is kept meanwhile: whose it was may be at work there still.
    pub(super) fn check(&mut self, ip: Ipv4Addr, mac: MacAddr, now: i64) -> Offer {
        let was = self.leases.get(&ip).cloned();
        if let Some(was) = &was {
            self.drop_lease(was);
        }
        self.hold(ip, mac, now, Some(now), was);
        Offer::Check(ip)
    }

    /// Goes on holding what was offered, unless it is being checked still. None if it is not held.
    pub(super) fn held(&mut self, ip: Ipv4Addr, now: i64) -> Option<Offer> {
        let hold = self.holds.get_mut(&ip)?;
        if hold.checking.is_some_and(|at| now - at < CHECK_PATIENCE) {
            return Some(Offer::Checking(ip));
        }
        hold.checking = None;
        let end = now + HOLD;
        // A client that asks without end adds one entry a second at most.
        if hold.until != end {
            hold.until = end;
            self.hold_ends.push_back((end, ip));
        }
        Some(Offer::Address(ip))
    }

    fn hold(
        &mut self,
        ip: Ipv4Addr,
        mac: MacAddr,
        now: i64,
        checking: Option<i64>,
        was: Option<Lease>,
    ) {
        let hold = Hold {
            mac,
            until: now + HOLD,
            checking,
            was,
        };
        self.holds.insert(ip, hold);
        self.hold_ends.push_back((now + HOLD, ip));
        let ips = self.by_mac.entry(mac).or_default();
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }

    pub(super) fn end_holds(&mut self, now: i64) {
        // A clock that was set back by more than a hold would keep them: the queue's order is that
        // of asking, so each is bounded by the next request after the old time came round again.
        while let Some((end, ip)) = self.hold_ends.front().copied() {
            if end > now && end - now <= HOLD {
                return;
            }
            self.hold_ends.pop_front();
            if self.holds.get(&ip).is_some_and(|h| h.until <= end) {
                self.drop_hold(ip);
            }
        }
    }

    pub(super) fn drop_hold(&mut self, ip: Ipv4Addr) {
        let Some(hold) = self.holds.remove(&ip) else {
            return;
        };
        if self.leases.contains_key(&ip) {
            return;
        }
        self.unlink(hold.mac, ip);
        if let Some(was) = hold.was {
            self.put(was);
        } else if let Some(pool) = self.pool_of(ip) {
            pool.give_back(ip);
        }
    }

    /// Someone is at an address that was this client's to take. If another machine had it last, that
    /// is where it is, past the end of its lease, and nobody is given it for as long as a quarantine
    /// lasts; else it is in quarantine.
    pub(super) fn set_aside(&mut self, ip: Ipv4Addr, mac: MacAddr, now: Timestamp) -> Lease {
        self.drop_hold(ip);
        let expires = later(now, QUARANTINE);
        let lease = match self.leases.get(&ip) {
            Some(was) if was.mac != mac && was.state == LeaseState::Bound => Lease {
                expires,
                ..was.clone()
            },
            _ => Lease {
                ip,
                mac,
                state: LeaseState::Declined,
                granted: now,
                expires,
                hostname: None,
            },
        };
        self.put(lease.clone());
        if lease.state == LeaseState::Declined {
            self.unlink(mac, ip);
        }
        lease
    }

    /// Puts a lease in; returns the same client's that it replaced.
    pub(super) fn put(&mut self, lease: Lease) -> Option<Lease> {
        let ip = lease.ip;
        let end = lease.expires.as_second();
        if lease.state != LeaseState::Declined {
            let ips = self.by_mac.entry(lease.mac).or_default();
            if !ips.contains(&ip) {
                ips.push(ip);
            }
        }
        let mac = lease.mac;
        let before = self.leases.insert(ip, lease);
        if let Some(before) = &before
            && before.mac != mac
        {
            self.unlink(before.mac, ip);
        }
        let from = before.as_ref().map(|b| b.expires.as_second());
        if let Some(pool) = self.pool_of(ip) {
            pool.moved(ip, from, Some(end));
        }
        before.filter(|b| b.mac == mac)
    }

    fn drop_lease(&mut self, lease: &Lease) {
        self.leases.remove(&lease.ip);
        self.unlink(lease.mac, lease.ip);
        let end = lease.expires.as_second();
        if let Some(pool) = self.pool_of(lease.ip) {
            pool.moved(lease.ip, Some(end), None);
        }
    }

    fn unlink(&mut self, mac: MacAddr, ip: Ipv4Addr) {
        if let Some(ips) = self.by_mac.get_mut(&mac) {
            ips.retain(|i| *i != ip);
            if ips.is_empty() {
                self.by_mac.remove(&mac);
            }
        }
    }

    fn pool_of(&mut self, ip: Ipv4Addr) -> Option<&mut Pool> {
        self.pools
            .iter_mut()
            .find(|(network, _)| network.contains(&ip))
            .map(|(_, pool)| pool)
    }
}

/// Whether the pool may give this address to anyone.
fn assignable(ip: Ipv4Addr, ask: &Ask<'_>) -> bool {
    ask.subnet.in_pool(ip) && unclaimed(ip, ask)
}

/// Whether an address is promised to nobody: not reserved, not this server's, not the router's, not
/// the network's own.
fn unclaimed(ip: Ipv4Addr, ask: &Ask<'_>) -> bool {
    let subnet = ask.subnet;
    let edge = subnet.network.prefix_len() < 31
        && (ip == subnet.network.network() || ip == subnet.network.broadcast());
    subnet.network.contains(&ip)
        && !edge
        && subnet.router != Some(ip)
        && subnet.server != Some(ip)
        && !ask.own.contains(&ip)
        && !ask.site.by_ip.contains_key(&ip)
}

/// A time that much later, to the second.
pub(crate) fn later(now: Timestamp, by: Duration) -> Timestamp {
    let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(now.as_second().saturating_add(seconds)).unwrap_or(Timestamp::MAX)
}
