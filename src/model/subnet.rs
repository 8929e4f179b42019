//! A network that Farrier serves.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;

/// One `[[subnet]]` of `farrier.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// The network and its mask.
    pub network: Ipv4Net,
    /// Option 3; none means no router is announced.
    pub router: Option<Ipv4Addr>,
    /// Option 6. d-i stops at a question without one, so the server's own address is used if empty.
    pub dns: Vec<Ipv4Addr>,
    /// Option 15.
    pub domain: Option<String>,
    /// Option 42.
    pub ntp: Vec<Ipv4Addr>,
    /// Addresses given to machines that have none reserved. In the order written.
    pub pool: Vec<AddressRange>,
    /// How long a lease lasts.
    pub lease: Duration,
    /// This server's own address as these machines reach it; none means the address of the
    /// interface the request came in on (a relayed subnet should set it).
    pub server: Option<Ipv4Addr>,
}

/// An inclusive range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    /// The lowest.
    pub first: Ipv4Addr,
    /// The highest.
    pub last: Ipv4Addr,
}

impl AddressRange {
    /// Whether `ip` lies within.
    pub fn contains(&self, ip: Ipv4Addr) -> bool {
        self.first <= ip && ip <= self.last
    }

    /// How many addresses it has.
    pub fn count(&self) -> u64 {
        u64::from(u32::from(self.last)) - u64::from(u32::from(self.first)) + 1
    }
}

impl Subnet {
    /// Whether `ip` is in one of the pool's ranges.
    pub fn in_pool(&self, ip: Ipv4Addr) -> bool {
        self.pool.iter().any(|range| range.contains(ip))
    }
}
