//! The desk that leases addresses: the pure table behind a lock, and the way to make it durable.

use std::net::Ipv4Addr;

use crate::model::{MacAddr, Timestamp};

/// The desk.
#[derive(Debug, Default)]
pub struct Desk {}

impl Desk {
    /// A desk that knows these leases.
    pub fn new(_leases: Vec<crate::model::Lease>) -> Self {
        Desk {}
    }

    /// Which address this interface holds by lease.
    pub fn address_of(&self, _mac: MacAddr, _now: Timestamp) -> Option<Ipv4Addr> {
        None
    }

    /// Every lease.
    pub fn all(&self) -> Vec<crate::model::Lease> {
        Vec::new()
    }

    /// Who holds an address by lease.
    pub fn holder(&self, _ip: Ipv4Addr, _now: Timestamp) -> Option<MacAddr> {
        None
    }
}
