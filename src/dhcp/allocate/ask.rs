//! What is asked of the table, and what it answers.

use std::net::Ipv4Addr;

use crate::model::{Lease, MacAddr, Site, Subnet, Timestamp};

/// Addresses that one client may declare in use within an hour: a client that refuses every address
/// must not empty the pool.
pub(super) const MOST_DECLINES: u8 = 5;

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
    /// [`super::LeaseTable::checked`] and ask again.
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
