//! The desk that leases addresses: the pure table behind a lock, and the way to make it durable.

use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::writer::Command;
use super::{Control, TellError};
use crate::dhcp::LeaseTable;
use crate::dhcp::allocate::Reserved;
use crate::model::{Diagnostic, Lease, MacAddr, Site, Timestamp};

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

    /// Which address this interface had last, however long ago.
    pub fn last_of(&self, mac: MacAddr) -> Option<Ipv4Addr> {
        self.table().addresses(mac).first().copied()
    }

    /// Every lease.
    pub fn all(&self) -> Vec<Lease> {
        self.table().leases().cloned().collect()
    }

    /// Who holds an address by lease.
    pub fn holder(&self, ip: Ipv4Addr, now: Timestamp) -> Option<MacAddr> {
        self.table().holder(ip, now)
    }

    /// Who held an address last, if nobody else was given or offered it since.
    pub fn last_holder(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        self.table().last_holder(ip)
    }

    /// What is known of a reserved address, if it was asked for since the start.
    pub fn reserved(&self, ip: Ipv4Addr) -> Option<Reserved> {
        self.table().reserved(ip)
    }
}

impl Control {
    /// A warning for each reservation that is new, of an address that another machine has by lease.
    pub(super) fn leased_elsewhere(&self, before: &Site, now: &Site) -> Vec<Diagnostic> {
        let time = self.clock();
        let table = self.leases.table();
        let owner = |site: &Site, ip: Ipv4Addr| {
            let system = site.by_ip.get(&ip)?;
            let interface = system.interfaces.iter().find(|i| i.ip == Some(ip))?;
            Some((system.name.clone(), interface.mac))
        };
        let mut found: Vec<(Ipv4Addr, Diagnostic)> = table
            .leases()
            .filter_map(|lease| {
                let (name, mac) = owner(now, lease.ip)?;
                let old = owner(before, lease.ip).map(|(_, mac)| mac);
                let holder = table.holder(lease.ip, time)?;
                if holder == mac || old == Some(mac) {
                    return None;
                }
                let ip = lease.ip;
                let who = match now.by_mac.get(&holder) {
                    Some(system) => format!("`{}` ({holder})", system.name),
                    None => holder.to_string(),
                };
                let warning = Diagnostic::warning(format!(
                    "{ip} is leased to {who} until {:.0}: `{name}` is given an address of the pool \
                     until then, or until that machine restarts",
                    lease.expires
                ));
                Some((ip, warning.help("farrier lease ls")))
            })
            .collect();
        found.sort_by_key(|(ip, _)| *ip);
        found.into_iter().map(|(_, warning)| warning).collect()
    }

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
