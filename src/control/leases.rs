//! The desk that leases addresses: the pure table behind a lock, and the way to make it durable.

use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::writer::Command;
use super::{Control, TellError};
use crate::dhcp::LeaseTable;
use crate::dhcp::allocate::Reserved;
use crate::model::{Lease, MacAddr, Timestamp};

/// The desk.
#[derive(Debug, Default)]
pub struct Desk {
    table: Mutex<LeaseTable>,
}

impl Desk {
    /// A desk that knows these leases.
    pub fn new(leases: Vec<Lease>) -> Self {
        Desk {
            table: Mutex::new(LeaseTable::load(leases)),
        }
    }

    /// The table, for one batch of packets. Nobody may wait for anything while holding it.
    pub fn table(&self) -> MutexGuard<'_, LeaseTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which address this interface holds by lease.
    pub fn address_of(&self, mac: MacAddr, now: Timestamp) -> Option<Ipv4Addr> {
        let table = self.table();
        let held = table.addresses(mac);
        held.into_iter()
            .find(|ip| table.holder(*ip, now) == Some(mac))
    }

    /// Every lease.
    pub fn all(&self) -> Vec<Lease> {
        self.table().leases().cloned().collect()
    }

    /// Who holds an address by lease.
    pub fn holder(&self, ip: Ipv4Addr, now: Timestamp) -> Option<MacAddr> {
        self.table().holder(ip, now)
    }

    /// What is known of a reserved address, if it was asked for since the start.
    pub fn reserved(&self, ip: Ipv4Addr) -> Option<Reserved> {
        self.table().reserved(ip)
    }
}

impl Control {
    /// Makes leases durable, in one group with whatever else waits. No lease may be acknowledged
    /// before this said `Ok`. Never waits itself: if the writer is too far behind, the answer is an
    /// error, and the clients ask again.
    pub fn commit_leases(&self, leases: Vec<Lease>) -> oneshot::Receiver<Result<(), TellError>> {
        let (done, wait) = oneshot::channel();
        if let Err(refused) = self.commands.try_send(Command::Leases { leases, done }) {
            let why = match &refused {
                TrySendError::Full(_) => TellError::Store("the writer is behind".to_string()),
                TrySendError::Closed(_) => TellError::Stopped,
            };
            if let Command::Leases { done, .. } = refused.into_inner() {
                let _receiver_gone = done.send(Err(why));
            }
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LeaseState;

    #[test]
    fn what_was_stored_is_known_again() {
        let time = |s: i64| Timestamp::from_second(s).expect("a time");
        let mac: MacAddr = "52:54:00:00:00:01".parse().expect("a mac");
        let lease = |last: u8, state, granted| Lease {
            ip: [10, 77, 0, last].into(),
            mac,
            state,
            granted: time(granted),
            expires: time(granted + 100),
            hostname: None,
        };
        let desk = Desk::new(vec![
            lease(1, LeaseState::Bound, 0),
            lease(2, LeaseState::Bound, 50),
            lease(3, LeaseState::Released, 60),
        ]);
        let ip = |last: u8| Some(Ipv4Addr::from([10, 77, 0, last]));
        assert_eq!(desk.address_of(mac, time(70)), ip(2), "the latest");
        assert_eq!(desk.address_of(mac, time(99)), ip(2));
        assert_eq!(desk.address_of(mac, time(150)), None);
        assert_eq!(desk.holder([10, 77, 0, 1].into(), time(70)), Some(mac));
        assert_eq!(desk.holder([10, 77, 0, 3].into(), time(70)), None);
        assert_eq!(desk.all().len(), 3);
    }
}
