//! Addresses that the site reserves, and who is at them.
//!
//! A reservation is answered from memory: it follows from the site. What the site does not say is
//! who was given the address before, by an older reservation or by the pool: that machine keeps it
//! until its lease ends, and after that nobody else gets it before it was asked whether it is there.

use std::net::Ipv4Addr;

use super::ask::{Ask, Offer};
use super::table::LeaseTable;
use crate::model::{Lease, LeaseState, MacAddr, Site, Timestamp};

/// An acknowledged reservation: it is not stored while the site says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// Who.
    pub mac: MacAddr,
    /// When it was last acknowledged.
    pub granted: Timestamp,
    /// Until when.
    pub expires: Timestamp,
}

impl LeaseTable {
    /// Offers a reserved address, which nobody else holds, to its owner: at once, unless another
    /// machine had it last and did not give it back, for that one may be there past its lease.
    pub fn claim(&mut self, mac: MacAddr, ip: Ipv4Addr, now: Timestamp) -> Offer {
        let seconds = now.as_second();
        self.end_holds(seconds);
        match self.holds.get(&ip).map(|h| h.mac == mac) {
            Some(true) => return self.held(ip, seconds).unwrap_or(Offer::Address(ip)),
            // Of when the address was the pool's to give.
            Some(false) => self.drop_hold(ip),
            None => {}
        }
        let another = self.leases.get(&ip).is_some_and(|l| match l.state {
            LeaseState::Bound => l.mac != mac,
            LeaseState::Released => false,
            LeaseState::Declined => l.mac != mac && l.expires > now,
        });
        match another {
            true => self.check(ip, mac, seconds),
            false => Offer::Address(ip),
        }
    }

    /// Notes that a reserved address was acknowledged to its owner. What another machine had there
    /// is over, and a record says so: a restart would bring it back.
    pub fn acknowledged(&mut self, mac: MacAddr, ip: Ipv4Addr, now: Timestamp, expires: Timestamp) {
        self.drop_hold(ip);
        let reserved = Reserved {
            mac,
            granted: now,
            expires,
        };
        self.reserved.insert(ip, reserved);
        let over = |l: &Lease| l.mac != mac || l.state == LeaseState::Declined;
        if self.leases.get(&ip).is_some_and(over) {
            let lease = reserved.lease(ip);
            self.put(lease.clone());
            self.records.push(lease);
        }
    }

    /// Sets a reserved address aside that its owner found in use by someone else: until the record
    /// that is returned ends, its owner has one of the pool. None if that is known already.
    pub fn conflict(&mut self, mac: MacAddr, ip: Ipv4Addr, now: Timestamp) -> Option<Lease> {
        let offered = self.holds.get(&ip).is_some_and(|h| h.mac == mac);
        if !offered && self.declined(mac, ip, now) {
            return None;
        }
        self.reserved.remove(&ip);
        Some(self.set_aside(ip, mac, now))
    }

    /// Whether this client found the address in use by someone else a short while ago.
    pub fn declined(&self, mac: MacAddr, ip: Ipv4Addr, now: Timestamp) -> bool {
        self.leases
            .get(&ip)
            .is_some_and(|l| l.mac == mac && l.state == LeaseState::Declined && l.expires > now)
    }

    /// What is known of a reserved address, if it was acknowledged since the start.
    pub fn reserved(&self, ip: Ipv4Addr) -> Option<Reserved> {
        self.reserved.get(&ip).copied()
    }

    /// A client that takes an address gives up what it has in the same subnet, as far as it will not
    /// come back to it: everything, if the address is reserved for it; else what is reserved for
    /// another machine by now, which waits for it.
    pub fn leave(&mut self, ask: &Ask<'_>, taken: Ipv4Addr) {
        let reserved = |ip: Ipv4Addr| ask.site.by_ip.contains_key(&ip);
        let left: Vec<Lease> = self
            .by_mac
            .get(&ask.mac)
            .into_iter()
            .flatten()
            .copied()
            .filter(|ip| *ip != taken && ask.subnet.network.contains(ip))
            .filter(|ip| reserved(taken) || reserved(*ip))
            .filter_map(|ip| self.leases.get(&ip))
            .filter(|l| l.mac == ask.mac && l.state == LeaseState::Bound)
            .cloned()
            .collect();
        for lease in left {
            let lease = Lease {
                state: LeaseState::Released,
                expires: lease.expires.min(ask.now),
                ..lease
            };
            self.put(lease.clone());
            self.records.push(lease);
        }
    }

    /// What is not reserved any more for the machine that has it is a lease of it from now on.
    pub(super) fn unreserve(&mut self, site: &Site) {
        let owner = |ip: Ipv4Addr| {
            let interfaces = &site.by_ip.get(&ip)?.interfaces;
            interfaces.iter().find(|i| i.ip == Some(ip)).map(|i| i.mac)
        };
        // An interface that was replaced is gone, and so is a machine that is declared no more, as
        // far as anyone knows: their lease is over, and whether they are there is asked.
        let elsewhere = |ip: Ipv4Addr, mac: MacAddr| {
            let owner = site.by_ip.get(&ip);
            let system = site.by_mac.get(&mac);
            system.is_some_and(|s| owner.is_none_or(|o| o.name != s.name))
        };
        let gone: Vec<Lease> = self
            .reserved
            .iter()
            .filter(|(ip, reserved)| owner(**ip) != Some(reserved.mac))
            .map(|(ip, reserved)| match elsewhere(*ip, reserved.mac) {
                true => reserved.lease(*ip),
                false => Lease {
                    expires: reserved.granted,
                    ..reserved.lease(*ip)
                },
            })
            .collect();
        for lease in gone {
            self.reserved.remove(&lease.ip);
            self.put(lease.clone());
            self.records.push(lease);
        }
    }
}

impl Reserved {
    fn lease(self, ip: Ipv4Addr) -> Lease {
        Lease {
            ip,
            mac: self.mac,
            state: LeaseState::Bound,
            granted: self.granted,
            expires: self.expires,
            hostname: None,
        }
    }
}
