//! What doors saw lately of each hardware address: in memory, bounded, for `farrier why`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::lifecycle::log::clean;
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
/// Hardware addresses kept; beyond this one goes that was not seen for long.
const ADDRESSES: usize = 20_000;

/// The rings of all hardware addresses.
#[derive(Debug, Default)]
pub struct Observed {
    rings: Mutex<Rings>,
    firmware: Mutex<HashMap<MacAddr, Firmware>>,
}

/// Who goes is found by second chance: whoever came first goes, unless it was seen again since it was
/// last looked at. A flood of invented addresses costs each of them one step and pushes out its own.
#[derive(Debug, Default)]
struct Rings {
    of: HashMap<MacAddr, Ring>,
    order: VecDeque<MacAddr>,
}

#[derive(Debug, Default)]
struct Ring {
    steps: VecDeque<Observation>,
    again: bool,
}

impl Rings {
    /// The ring of this address; a new one is in the memory of the one that goes.
    fn ring(&mut self, mac: MacAddr) -> &mut Ring {
        if !self.of.contains_key(&mac) {
            let mut ring = match self.of.len() < ADDRESSES {
                true => Ring::default(),
                false => self.oldest(),
            };
            ring.steps.clear();
            ring.again = false;
            self.of.insert(mac, ring);
            self.order.push_back(mac);
        }
        self.of.entry(mac).or_default()
    }

    fn oldest(&mut self) -> Ring {
        while let Some(mac) = self.order.pop_front() {
            match self.of.get_mut(&mac) {
                Some(ring) if ring.again => {
                    ring.again = false;
                    self.order.push_back(mac);
                }
                Some(_) => return self.of.remove(&mac).unwrap_or_default(),
                None => {}
            }
        }
        Ring::default()
    }
}

impl Observed {
    /// Takes one step down. What machines send and ask for may hold a build's tokens, by whichever
    /// door: it is shown to people, so these are left out here.
    pub(super) fn add(&self, mac: MacAddr, door: Door, time: Timestamp, text: &str) {
        let text = clean(text);
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = rings.ring(mac);
        ring.again = !ring.steps.is_empty();
        if ring.steps.len() == STEPS {
            ring.steps.pop_front();
        }
        ring.steps.push_back(Observation { time, door, text });
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
        let ring = rings.of.get(&mac);
        ring.map(|ring| ring.steps.iter().cloned().collect())
            .unwrap_or_default()
    }

    #[cfg(test)]
    fn addresses(&self) -> usize {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(rings.of.len(), rings.order.len());
        rings.of.len()
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
        let add = |i: u32| {
            observed.add(mac(i), Door::Dhcp, time(i64::from(i)), &format!("{i}"));
        };
        let kept = ADDRESSES as u32;
        (0..kept).for_each(add);
        // The first was seen again, so the second goes, and whoever is new.
        add(0);
        (kept..kept + 10).for_each(add);
        assert_eq!(observed.addresses(), ADDRESSES);
        assert_eq!(observed.of(mac(0)).len(), 2);
        assert!((1..=10).all(|i| observed.of(mac(i)).is_empty()));
        assert_eq!(
            observed.of(mac(kept + 9)).len(),
            1,
            "nothing is left of the old"
        );
        // A flood of invented addresses, and one machine that goes on speaking.
        for i in 0..3 * kept {
            add(1_000_000 + i);
            if i % 5_000 == 0 {
                add(0);
            }
        }
        assert_eq!(observed.addresses(), ADDRESSES);
        assert_eq!(observed.of(mac(0)).len(), 14);
        for i in 0..100 {
            observed.add(mac(1), Door::Dhcp, time(i), &format!("{i}"));
        }
        let ring = observed.of(mac(1));
        assert_eq!((ring.len(), ring[STEPS - 1].text.as_str()), (STEPS, "99"));
    }

    #[test]
    fn no_token_is_shown() {
        let observed = Observed::default();
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let token = "k".repeat(43);
        for text in [
            format!("RRQ b/{token}/overlay.cpio: 512 bytes"),
            format!("start Late/run/command_0: wget http://10.77.0.1/b/{token}/$f"),
        ] {
            observed.add(mac, Door::Tftp, Timestamp::UNIX_EPOCH, &text);
        }
        let shown: Vec<String> = observed.of(mac).into_iter().map(|o| o.text).collect();
        assert_eq!(
            shown,
            [
                "RRQ b/../overlay.cpio: 512 bytes",
                "start Late/run/command_0: wget http://10.77.0.1/b/../$f"
            ]
        );
    }
}
