//! What doors saw lately of each hardware address: in memory, bounded, for `farrier why`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::model::{Door, Firmware, MacAddr, Timestamp};

/// One step of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// When.
    pub time: Timestamp,
    /// By which door.
    pub door: Door,
    /// What, in a sentence.
    pub text: String,
}

/// Steps kept per hardware address.
const STEPS: usize = 24;
/// Hardware addresses kept; beyond this the one seen longest ago goes.
const ADDRESSES: usize = 20_000;

/// The rings of all hardware addresses.
#[derive(Debug, Default)]
pub struct Observed {
    rings: Mutex<HashMap<MacAddr, VecDeque<Observation>>>,
    firmware: Mutex<HashMap<MacAddr, Firmware>>,
}

impl Observed {
    pub(super) fn add(&self, mac: MacAddr, door: Door, time: Timestamp, text: String) {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        if rings.len() >= ADDRESSES && !rings.contains_key(&mac) {
            // Half go at once, so that a flood of invented addresses costs one scan in ten thousand.
            let mut ages: Vec<(Timestamp, MacAddr)> = rings
                .iter()
                .filter_map(|(m, r)| r.back().map(|o| (o.time, *m)))
                .collect();
            ages.sort_unstable();
            for (_, old) in ages.into_iter().take(ADDRESSES / 2) {
                rings.remove(&old);
            }
        }
        let ring = rings.entry(mac).or_default();
        if ring.len() == STEPS {
            ring.pop_front();
        }
        ring.push_back(Observation { time, door, text });
    }

    /// Remembers what a machine's firmware is.
    pub(super) fn set_firmware(&self, mac: MacAddr, firmware: Firmware) {
        let mut known = self.firmware.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < ADDRESSES || known.contains_key(&mac) {
            known.insert(mac, firmware);
        }
    }

    /// What a machine's firmware was when last seen.
    pub(super) fn firmware(&self, mac: MacAddr) -> Option<Firmware> {
        self.firmware
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&mac)
            .copied()
    }

    pub(super) fn of(&self, mac: MacAddr) -> Vec<Observation> {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        rings
            .get(&mac)
            .map(|ring| ring.iter().cloned().collect())
            .unwrap_or_default()
    }

    #[cfg(test)]
    fn addresses(&self) -> Vec<(MacAddr, Observation)> {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        rings
            .iter()
            .filter_map(|(m, r)| r.back().map(|o| (*m, o.clone())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded() {
        let observed = Observed::default();
        let time = |s: i64| Timestamp::from_second(s).expect("a time");
        let mac = |i: u32| {
            let b = i.to_be_bytes();
            MacAddr([2, 0, b[0], b[1], b[2], b[3]])
        };
        for i in 0..(ADDRESSES as u32 + 10) {
            observed.add(mac(i), Door::Dhcp, time(i64::from(i)), "x".into());
        }
        assert!(observed.addresses().len() <= ADDRESSES);
        assert!(observed.of(mac(0)).is_empty(), "the oldest went");
        for i in 0..100 {
            observed.add(mac(ADDRESSES as u32), Door::Dhcp, time(i), format!("{i}"));
        }
        let ring = observed.of(mac(ADDRESSES as u32));
        assert_eq!((ring.len(), ring[STEPS - 1].text.as_str()), (STEPS, "99"));
    }
}
