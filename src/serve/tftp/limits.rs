//! What the TFTP door bears.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Limits of one TFTP door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Transfers at once, over all shards.
    pub transfers: usize,
    /// Transfers at once to one address; a probe that was broken off counts until its retries end.
    pub per_address: usize,
    /// Largest block: the interface's MTU less 32, so that no packet is fragmented.
    pub block_size: u16,
    /// Most blocks sent before one must be acknowledged (RFC 7440, where gains end).
    pub window: u16,
    /// How long an acknowledgement is waited for, whatever the client asks.
    pub timeout: Duration,
    /// How often a block is sent again.
    pub retries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            transfers: 4096,
            per_address: 16,
            block_size: 1468,
            window: 16,
            timeout: Duration::from_secs(1),
            retries: 5,
        }
    }
}

impl Limits {
    /// The default for an interface with this MTU: a block and its headers (20 bytes of IP, 8 of UDP,
    /// 4 of TFTP) fill one packet. No block is smaller than 512, which every client takes unasked.
    pub fn for_mtu(mtu: u32) -> Limits {
        // RFC 2348: 65464 is the most
        let block = mtu.saturating_sub(32).clamp(512, 65464);
        Limits {
            block_size: u16::try_from(block).unwrap_or(u16::MAX),
            ..Limits::default()
        }
    }

    /// How long after its last byte was read a transfer can have been acknowledged.
    pub(super) fn last_call(&self) -> Duration {
        self.timeout * self.retries
    }
}

/// Counts transfers.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) limits: Limits,
    inside: Mutex<HashMap<Ipv4Addr, usize>>,
    all: std::sync::atomic::AtomicUsize,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Admission {
            limits,
            inside: Mutex::default(),
            all: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// A place for one transfer, if there is one; dropping it gives it back.
    pub(super) fn admit(self: &Arc<Self>, client: Ipv4Addr) -> Option<Place> {
        use std::sync::atomic::Ordering::Relaxed;
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let here = inside.entry(client).or_insert(0);
        if *here >= self.limits.per_address || self.all.load(Relaxed) >= self.limits.transfers {
            if *here == 0 {
                inside.remove(&client);
            }
            return None;
        }
        *here += 1;
        self.all.fetch_add(1, Relaxed);
        Some(Place {
            admission: self.clone(),
            client,
        })
    }
}

/// A transfer's place within the limits.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    client: Ipv4Addr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let admission = &self.admission;
        let mut inside = admission
            .inside
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = inside.get_mut(&self.client) {
            *here -= 1;
            if *here == 0 {
                inside.remove(&self.client);
            }
        }
        admission
            .all
            .fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_fills_a_packet() {
        for (mtu, block) in [
            (1500, 1468),
            (1280, 1248),
            (9000, 8968),
            (300, 512),
            (65536, 65464),
        ] {
            assert_eq!(Limits::for_mtu(mtu).block_size, block, "MTU {mtu}");
        }
        assert_eq!(Limits::for_mtu(1500), Limits::default());
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let admission = Arc::new(Admission::new(Limits {
            transfers: 3,
            per_address: 2,
            ..Limits::default()
        }));
        let a = Ipv4Addr::new(10, 0, 0, 1);
        let b = Ipv4Addr::new(10, 0, 0, 2);
        let places = [admission.admit(a), admission.admit(a)];
        assert!(places.iter().all(Option::is_some));
        assert!(admission.admit(a).is_none(), "two from one address");
        let third = admission.admit(b).expect("another address");
        assert!(admission.admit(b).is_none(), "three in all");
        drop((places, third));
        assert!(admission.inside.lock().expect("a lock").is_empty());
        assert!(admission.admit(a).is_some());
    }
}
