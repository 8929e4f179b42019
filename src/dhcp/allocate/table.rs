//! The table of leases, offers and quarantines.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;

use super::pool::Pool;
use crate::dhcp::recent::Recent;
use crate::model::{Digest, Lease, LeaseState, MacAddr, Site, Subnet, Timestamp};

/// How long an offer is held, in seconds.
const HOLD: i64 = 60;
/// How long an address that someone else uses is not given out.
const QUARANTINE: Duration = Duration::from_secs(3600);
/// Addresses that one client may declare in use within an hour: a client that refuses every address
/// must not empty the pool.
const MOST_DECLINES: u8 = 5;
/// How long an answer about an address in use is waited for, in seconds, before it is taken as free.
const CHECK_PATIENCE: i64 = 2;

/// Who asks for an address, and where.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Who.
    pub mac: MacAddr,
    /// Where.
    pub subnet: &'a Subnet,
    /// What is reserved.
    pub site: &'a Site,
    /// This server's own addresses.
    pub own: &'a [Ipv4Addr],
    /// The present time.
    pub now: Timestamp,
}

/// What a client can be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// This address.
    Address(Ipv4Addr),
    /// This address, once someone made sure that nobody uses it: tell the result to
    /// [`LeaseTable::checked`] and ask again.
    Check(Ipv4Addr),
    /// That is being made sure right now.
    Checking(Ipv4Addr),
    /// Nothing.
    Refused(Refusal),
}

/// Why there is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The subnet has no pool.
    #[error("its subnet has no pool, and no address is reserved for it")]
    NoPool,
    /// All are taken.
    #[error("the pool is exhausted")]
    Exhausted,
    /// It declared too many addresses in use.
    #[error("it declined {MOST_DECLINES} addresses within an hour")]
    TooManyDeclines,
}

/// A lease that was granted, and is not valid before it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The lease.
    pub lease: Lease,
    /// What it replaced: the client's own of before, which holds again if this one cannot be
    /// committed.
    pub before: Option<Lease>,
}

/// All dynamic addresses: who holds them, who was offered them, which are not to be used.
#[derive(Debug, Default)]
pub struct LeaseTable {
    leases: HashMap<Ipv4Addr, Lease>,
    holds: HashMap<Ipv4Addr, Hold>,
    hold_ends: VecDeque<(i64, Ipv4Addr)>,
    by_mac: HashMap<MacAddr, Vec<Ipv4Addr>>,
    pools: HashMap<Ipv4Net, Pool>,
    revision: Option<Digest>,
    declines: HashMap<MacAddr, (u8, i64)>,
    /// When `declines` was last cleared of those that no longer count.
    declines_cleared: i64,
    /// What could not be committed while a later lease of the same address was on its way, with
    /// what it had replaced.
    lost: HashMap<Ipv4Addr, Granted>,
    reserved: HashMap<Ipv4Addr, Reserved>,
    /// What is remembered of clients in mid-conversation.
    pub recent: Recent,
}

#[derive(Debug)]
struct Hold {
    mac: MacAddr,
    until: i64,
    /// Asked about since; none means known to be free.
    checking: Option<i64>,
}

/// What is known of a reserved address: it is not stored, for it follows from the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// Who.
    pub mac: MacAddr,
    /// Until when it was last acknowledged.
    pub expires: Timestamp,
    /// When its owner last found it in use by someone else.
    pub conflict: Option<Timestamp>,
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
            return match self.holds.get_mut(&ip) {
                None => {
                    // What ended may be anyone's; once offered again it is this client's to take.
                    if self.holder(ip, ask.now).is_none() {
                        self.hold(ip, ask.mac, now, None);
                    }
                    Offer::Address(ip)
                }
                Some(hold) => match hold.checking {
                    Some(since) if now - since < CHECK_PATIENCE => Offer::Checking(ip),
                    _ => {
                        hold.checking = None;
                        hold.until = now + HOLD;
                        self.hold_ends.push_back((now + HOLD, ip));
                        Offer::Address(ip)
                    }
                },
            };
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
        if let Some(ended) = self.leases.get(&ip).cloned() {
            self.drop_lease(&ended);
        }
        self.hold(ip, ask.mac, now, Some(now));
        Offer::Check(ip)
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
        match self.known(ask) {
            Some(known) if known != ip => return Err(Some(known)),
            Some(_) => {}
            None if self.grantable(ip, ask) => {}
            None => return Err(None),
        }
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
        self.leave_reserved(ask, ip);
        Ok(Granted { lease, before })
    }

    /// A client that takes one address uses no other of that subnet: one that was reserved for
    /// another machine since is that machine's now. (Not stored: after a restart of the server its
    /// owner waits for the end of that lease.)
    fn leave_reserved(&mut self, ask: &Ask<'_>, taken: Ipv4Addr) {
        let left: Vec<Lease> = self
            .by_mac
            .get(&ask.mac)
            .into_iter()
            .flatten()
            .copied()
            .filter(|ip| *ip != taken && ask.subnet.network.contains(ip))
            .filter(|ip| ask.site.by_ip.contains_key(ip))
            .filter_map(|ip| self.leases.get(&ip).cloned())
            .collect();
        for lease in left {
            self.drop_lease(&lease);
        }
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

    /// Quarantines an address that its holder found in use by someone else. None if it is not this
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
        Some(self.quarantine(ip, mac, now))
    }

    /// Says whether an address that [`LeaseTable::offer`] wanted checked is in use. If so it is
    /// quarantined, and the record of that is returned.
    pub fn checked(&mut self, ip: Ipv4Addr, in_use: bool, now: Timestamp) -> Option<Lease> {
        let hold = self.holds.get_mut(&ip)?;
        hold.checking?;
        hold.checking = None;
        let mac = hold.mac;
        in_use.then(|| self.quarantine(ip, mac, now))
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
            self.hold(ip, lease.mac, now.as_second(), None);
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

    /// The address that this client holds, was offered, or held last, in this subnet.
    pub fn known(&self, ask: &Ask<'_>) -> Option<Ipv4Addr> {
        let ips = self.by_mac.get(&ask.mac)?;
        ips.iter().copied().find(|ip| {
            ask.subnet.network.contains(ip)
                && assignable(*ip, ask)
                && self
                    .leases
                    .get(ip)
                    .is_none_or(|l| l.state != LeaseState::Declined)
        })
    }

    /// Whether the client holds this very address as an acknowledged lease.
    pub fn is_holder(&self, mac: MacAddr, ip: Ipv4Addr) -> bool {
        self.leases
            .get(&ip)
            .is_some_and(|l| l.mac == mac && l.state == LeaseState::Bound)
    }

    /// Who holds a dynamic address now.
    pub fn holder(&self, ip: Ipv4Addr, now: Timestamp) -> Option<MacAddr> {
        self.leases
            .get(&ip)
            .filter(|l| l.state == LeaseState::Bound && l.expires > now)
            .map(|l| l.mac)
    }

    /// Who held a dynamic address last, however long ago, if it was not given back, and nobody else was
    /// offered it since.
    pub fn last_holder(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        let lease = self.leases.get(&ip)?;
        let bound = lease.state == LeaseState::Bound;
        let offered = self.holds.get(&ip).is_some_and(|h| h.mac != lease.mac);
        (bound && !offered).then_some(lease.mac)
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

    /// Notes that a reserved address was acknowledged.
    pub fn acknowledged(&mut self, mac: MacAddr, ip: Ipv4Addr, expires: Timestamp) {
        let entry = self.reserved.entry(ip).or_insert(Reserved {
            mac,
            expires,
            conflict: None,
        });
        entry.mac = mac;
        entry.expires = expires;
    }

    /// Notes that its owner found a reserved address in use by someone else. It stays reserved.
    pub fn conflict(&mut self, mac: MacAddr, ip: Ipv4Addr, now: Timestamp) {
        self.acknowledged(mac, ip, now);
        if let Some(entry) = self.reserved.get_mut(&ip) {
            entry.conflict = Some(now);
        }
    }

    /// What is known of a reserved address, if it was asked for since the start.
    pub fn reserved(&self, ip: Ipv4Addr) -> Option<Reserved> {
        self.reserved.get(&ip).copied()
    }

    /// A new revision of the site may have other pools and reservations.
    fn follow(&mut self, site: &Site) {
        if self.revision == Some(site.revision) {
            return;
        }
        self.revision = Some(site.revision);
        self.reserved.retain(|ip, _| site.by_ip.contains_key(ip));
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

    fn hold(&mut self, ip: Ipv4Addr, mac: MacAddr, now: i64, checking: Option<i64>) {
        self.holds.insert(
            ip,
            Hold {
                mac,
                until: now + HOLD,
                checking,
            },
        );
        self.hold_ends.push_back((now + HOLD, ip));
        let ips = self.by_mac.entry(mac).or_default();
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }

    fn end_holds(&mut self, now: i64) {
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

    fn drop_hold(&mut self, ip: Ipv4Addr) {
        let Some(hold) = self.holds.remove(&ip) else {
            return;
        };
        if !self.leases.contains_key(&ip) {
            self.unlink(hold.mac, ip);
            if let Some(pool) = self.pool_of(ip) {
                pool.give_back(ip);
            }
        }
    }

    fn quarantine(&mut self, ip: Ipv4Addr, mac: MacAddr, now: Timestamp) -> Lease {
        self.holds.remove(&ip);
        let lease = Lease {
            ip,
            mac,
            state: LeaseState::Declined,
            granted: now,
            expires: later(now, QUARANTINE),
            hostname: None,
        };
        self.put(lease.clone());
        self.unlink(mac, ip);
        lease
    }

    /// Puts a lease in; returns the same client's that it replaced.
    fn put(&mut self, lease: Lease) -> Option<Lease> {
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

/// Whether the pool may give this address to anyone: not reserved, not this server's, not the
/// router's, not the network's own.
fn assignable(ip: Ipv4Addr, ask: &Ask<'_>) -> bool {
    let subnet = ask.subnet;
    let edge = subnet.network.prefix_len() < 31
        && (ip == subnet.network.network() || ip == subnet.network.broadcast());
    subnet.in_pool(ip)
        && subnet.network.contains(&ip)
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
