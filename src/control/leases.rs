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

    /// Who holds an address: by lease, or because it was reserved for it when it was acknowledged.
    pub fn holder(&self, ip: Ipv4Addr, now: Timestamp) -> Option<MacAddr> {
        self.table().holder(ip, now)
    }

    /// Who held an address last, if nobody else was given or offered it since.
    pub fn last_holder(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        self.table().last_holder(ip)
    }

    /// What is known of a reserved address, if it was acknowledged since the start.
    pub fn reserved(&self, ip: Ipv4Addr) -> Option<Reserved> {
        self.table().reserved(ip)
    }
}

impl Control {
    /// A warning for each reservation that is new, of an address that another machine has.
    pub(super) fn leased_elsewhere(&self, before: &Site, now: &Site) -> Vec<Diagnostic> {
        let time = self.clock();
        let table = self.leases.table();
        let owner = |site: &Site, ip: Ipv4Addr| {
            let system = site.by_ip.get(&ip)?;
            let interface = system.interfaces.iter().find(|i| i.ip == Some(ip))?;
            Some((system.name.clone(), interface.mac))
        };
        let mut found: Vec<(Ipv4Addr, Diagnostic)> = table
            .held_now(time)
            .filter_map(|(ip, holder, expires)| {
                let (name, mac) = owner(now, ip)?;
                if holder == mac {
                    return None;
                }
                let old = owner(before, ip).map(|(_, mac)| mac);
                let system = now.by_mac.get(&holder);
                // An interface that was replaced keeps nobody waiting.
                let replaced = old == Some(holder) && system.is_none_or(|s| s.name == name);
                if old == Some(mac) || replaced {
                    return None;
                }
                let who = match system {
                    Some(system) => format!("`{}` ({holder})", system.name),
                    None => holder.to_string(),
                };
                let warning = Diagnostic::warning(format!(
                    "{ip} is leased to {who} until {expires:.0}: `{name}` is given an address of the \
                     pool until then, or until that machine restarts"
                ));
                Some((ip, warning.help("farrier lease ls")))
            })
            .collect();
        found.sort_by_key(|(ip, _)| *ip);
        found.dedup_by_key(|(ip, _)| *ip);
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
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::*;
    use crate::control::tests::{Bench, event};
    use crate::dhcp::allocate::Offer;
    use crate::model::{EventKind, LeaseState};

    fn mac(last: u8) -> MacAddr {
        MacAddr([0x52, 0x54, 0, 0, 0, last])
    }

    /// Puts a site in force in which each of these has this interface and this address.
    async fn declare(control: &Control, all: &[(&str, MacAddr, Ipv4Addr)]) {
        let mut site = (*control.site()).clone();
        let model = (**site.system("web01").expect("declared")).clone();
        site.by_ip.clear();
        for (name, mac, ip) in all {
            let mut system = model.clone();
            system.name = name.parse().expect("a name");
            system.interfaces[0].mac = *mac;
            system.interfaces[0].ip = Some(*ip);
            let system = Arc::new(system);
            site.by_mac.insert(*mac, system.clone());
            site.by_ip.insert(*ip, system.clone());
            site.systems.insert(system.name.clone(), system);
        }
        control.publish(site, None).await.expect("published");
    }

    #[tokio::test]
    async fn who_was_given_an_address_has_it_though_it_is_reserved_for_another_since() {
        let bench = Bench::new();
        let control = bench.open().await;
        let (one, two) = (mac(1), mac(2));
        let ip = Ipv4Addr::new(10, 77, 0, 11);
        let next = Ipv4Addr::new(10, 77, 0, 12);
        declare(&control, &[("web01", one, ip)]).await;
        assert_eq!(control.holder(ip), Some(one), "by declaration");
        let (now, before) = (control.clock(), control.site());
        let expires = now + Duration::from_secs(60);
        let held = |change: &dyn Fn(&mut LeaseTable)| change(&mut control.leases().table());
        held(&|table| table.acknowledged(one, ip, now, expires));
        declare(&control, &[("web01", one, next), ("web02", two, ip)]).await;
        assert_eq!(control.holder(ip), Some(one));
        let warnings = control.leased_elsewhere(&before, &control.site());
        assert_eq!(warnings.len(), 1);
        let warning = warnings[0].to_string();
        assert!(
            warning.contains("10.77.0.11 is leased to `web01`"),
            "{warning}"
        );
        bench.seconds.fetch_add(61, Ordering::Relaxed);
        assert_eq!(control.holder(ip), Some(two), "its lease has ended");
        // unless its installer is at work there, and until it is found not to be
        bench.flag(&control).await.expect("flagged");
        let served = event(1, EventKind::ScriptServed);
        control.tell(served).await.expect("served");
        assert_eq!(control.holder(ip), Some(one));
        held(&|table| {
            table.follow(&control.site());
            assert_eq!(table.claim(two, ip, control.clock()), Offer::Check(ip));
        });
        assert_eq!(control.holder(ip), Some(one), "it is asked");
        held(&|table| assert_eq!(table.checked(ip, false, control.clock()), None));
        assert_eq!(control.holder(ip), Some(two));
    }

    #[tokio::test]
    async fn a_replaced_interface_is_no_reason_for_a_warning() {
        let bench = Bench::new();
        let control = bench.open().await;
        let ip = Ipv4Addr::new(10, 77, 0, 11);
        declare(&control, &[("web01", mac(1), ip)]).await;
        let (now, before) = (control.clock(), control.site());
        let expires = now + Duration::from_secs(60);
        let mut table = control.leases().table();
        table.acknowledged(mac(1), ip, now, expires);
        drop(table);
        let mut after = (*before).clone();
        after.by_mac.remove(&mac(1));
        let mut system = (**before.system("web01").expect("declared")).clone();
        system.interfaces[0].mac = mac(2);
        let system = Arc::new(system);
        after.by_mac.insert(mac(2), system.clone());
        after.by_ip.insert(ip, system);
        assert!(control.leased_elsewhere(&before, &after).is_empty());
    }

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
