//! Addresses that are pinged before they are first offered.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::batch::Heard;
use super::door::Door;
use crate::model::LeaseState;

/// Pings under way at once. Beyond that addresses are offered unchecked: a rack that powers on must
/// not wait for pings, and the client still finds out by ARP and declines.
pub(super) const MOST: usize = 64;
/// How long a ping waits. A neighbour answers within a few; Kea takes 100 ms too.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// A DISCOVER that waits for a ping.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) door: Arc<Door>,
    pub(super) bytes: Vec<u8>,
    pub(super) source: SocketAddrV4,
    pub(super) destination: Ipv4Addr,
}

/// Asks whether an address is in use, or takes it as free if too many are being asked about.
pub(super) fn begin(ip: Ipv4Addr, parked: Parked) {
    let shared = parked.door.shared.clone();
    shared.counters.checks.fetch_add(1, Ordering::Relaxed);
    let refused = match shared.prober() {
        Some(prober) => prober.ask(ip, parked).err(),
        None => Some(parked),
    };
    if let Some(parked) = refused {
        shared.counters.unchecked.fetch_add(1, Ordering::Relaxed);
        answered(ip, parked, false);
    }
}

/// The answer is known: the DISCOVER is answered now.
pub(super) fn answered(ip: Ipv4Addr, parked: Parked, in_use: bool) {
    let door = &parked.door;
    let shared = &door.shared;
    let now = shared.control.clock();
    let record = shared.control.leases().table().checked(ip, in_use, now);
    if let Some(lease) = record {
        shared.counters.conflicts.fetch_add(1, Ordering::Relaxed);
        match lease.state {
            LeaseState::Bound => {
                tracing::warn!(machine.mac = %lease.mac, "{ip} is in use past the end of its lease; it is left to the machine that had it");
            }
            LeaseState::Released | LeaseState::Declined => {
                tracing::warn!(
                    "{ip} is in use by a machine that was not given it; it is set aside"
                );
            }
        }
        drop(shared.control.commit_leases(vec![lease]));
    }
    door.again(Heard {
        bytes: &parked.bytes,
        source: parked.source,
        destination: parked.destination,
    });
}
