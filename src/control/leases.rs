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

    /// Who holds an address by lease.
    pub fn holder(&self, _ip: Ipv4Addr, _now: Timestamp) -> Option<MacAddr> {
        None
    }
}
