//! Machines that were seen and that nobody declared, if `unknown.action = "discover"` asks for a list.
//! Bounded: whoever invents hardware addresses pushes out the ones seen longest ago, no more.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Control;
use crate::model::view::DiscoveredView;
use crate::model::{MacAddr, Timestamp, UnknownAction};

/// Machines that are remembered.
pub(super) const MOST: usize = 4096;

/// The machines.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    machines: HashMap<MacAddr, DiscoveredView>,
    /// Not stored yet.
    news: Vec<MacAddr>,
}

/// The figures of a machine that was seen before are stored again this many seconds later.
const AGAIN: i64 = 60;

impl Discovered {
    pub(super) fn new(stored: Vec<DiscoveredView>) -> Self {
        let machines = stored.into_iter().map(|m| (m.mac, m)).collect();
        Discovered {
            known: Mutex::new(Known {
                machines,
                news: Vec::new(),
            }),
        }
    }

    /// Notes that a machine was seen. What this sighting does not tell stays as it was.
    pub(super) fn see(&self, seen: DiscoveredView) {
        let mut known = self.lock();
        let mac = seen.mac;
        if known.machines.len() >= MOST && !known.machines.contains_key(&mac) {
            let mut ages: Vec<(Timestamp, MacAddr)> = known
                .machines
                .values()
                .map(|m| (m.last_seen, m.mac))
                .collect();
            ages.sort_unstable();
            for (_, old) in ages.into_iter().take(MOST / 8) {
                known.machines.remove(&old);
            }
        }
        let now = seen.last_seen.as_second();
        let stale = match known.machines.get_mut(&mac) {
            Some(machine) => {
                let stale = now - machine.last_seen.as_second() >= AGAIN;
                machine.last_seen = seen.last_seen;
                machine.times = machine.times.saturating_add(1);
                let news = seen.firmware.is_some() && seen.firmware != machine.firmware
                    || seen.uuid.is_some() && seen.uuid != machine.uuid;
                machine.firmware = seen.firmware.or(machine.firmware.take());
                machine.uuid = seen.uuid.or(machine.uuid.take());
                machine.hostname = seen.hostname.or(machine.hostname.take());
                machine.relay = seen.relay.or(machine.relay);
                stale || news
            }
            None => {
                known.machines.insert(mac, seen);
                true
            }
        };
        if stale && !known.news.contains(&mac) {
            known.news.push(mac);
        }
    }

    /// What is to be stored.
    pub(super) fn news(&self) -> Vec<DiscoveredView> {
        let mut known = self.lock();
        let news = std::mem::take(&mut known.news);
        news.iter()
            .filter_map(|mac| known.machines.get(mac).cloned())
            .collect()
    }

    fn all(&self) -> Vec<DiscoveredView> {
        self.lock().machines.values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Notes that a machine nobody declared was seen, if the site lists such machines.
    pub fn discover(&self, seen: DiscoveredView) {
        let site = self.site();
        if site.unknown == UnknownAction::Discover && !site.by_mac.contains_key(&seen.mac) {
            self.discovered.see(seen);
        }
    }

    /// Machines that were seen and are not declared, the latest first.
    pub fn discovered(&self) -> Vec<DiscoveredView> {
        let site = self.site();
        let mut all = self.discovered.all();
        all.retain(|m| !site.by_mac.contains_key(&m.mac));
        all.sort_by_key(|m| (std::cmp::Reverse(m.last_seen), m.mac));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(last: u32, second: i64, firmware: Option<&str>) -> DiscoveredView {
        let bytes = last.to_be_bytes();
        let at = Timestamp::from_second(second).expect("a time");
        DiscoveredView {
            mac: MacAddr([2, 0, bytes[0], bytes[1], bytes[2], bytes[3]]),
            firmware: firmware.map(str::to_string),
            uuid: None,
            hostname: None,
            relay: None,
            first_seen: at,
            last_seen: at,
            times: 1,
        }
    }

    #[test]
    fn what_is_known_stays_known() {
        let discovered = Discovered::default();
        discovered.see(seen(1, 10, Some("uefi")));
        assert_eq!(discovered.news().len(), 1);
        discovered.see(seen(1, 20, None));
        assert_eq!(discovered.news(), [], "not each packet is stored");
        discovered.see(seen(1, 90, None));
        let [machine] = &discovered.news()[..] else {
            panic!("it is stored again after a while")
        };
        assert_eq!(
            (machine.firmware.as_deref(), machine.times),
            (Some("uefi"), 3)
        );
        assert_eq!(machine.first_seen.as_second(), 10);
    }

    #[test]
    fn invented_addresses_do_not_fill_the_memory() {
        let discovered = Discovered::default();
        for i in 0..20_000 {
            discovered.see(seen(i, i64::from(i), None));
        }
        let all = discovered.all();
        assert!(all.len() <= MOST);
        assert!(all.iter().any(|m| m.mac == seen(19_999, 0, None).mac));
    }
}
