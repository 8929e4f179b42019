//! Counters and open doors: what `status` and the metrics page print.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::Control;

/// Named counters. A door looks its counter up once and keeps the handle.
#[derive(Debug, Default)]
pub struct Counters {
    named: RwLock<BTreeMap<String, Arc<AtomicU64>>>,
    doors: Mutex<Vec<String>>,
    /// Doors that ought to be open and are not, each with the reason and the fix.
    shut: Mutex<Vec<String>>,
}

impl Counters {
    /// The counter with this dotted name, such as `dhcp.malformed`; made on first use.
    pub fn get(&self, name: &str) -> Arc<AtomicU64> {
        if let Some(counter) = self
            .named
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
        {
            return counter.clone();
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        named.entry(name.to_string()).or_default().clone()
    }

    /// Adds one to a counter by name, for places that are not on a packet's path.
    pub fn count(&self, name: &str) {
        self.get(name).fetch_add(1, Ordering::Relaxed);
    }

    /// All counters as they are.
    pub fn all(&self) -> BTreeMap<String, u64> {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        named
            .iter()
            .map(|(n, c)| (n.clone(), c.load(Ordering::Relaxed)))
            .collect()
    }

    /// Says that a door is open, in the words of `status`: `dhcp eth1 10.77.0.1:67 (full)`.
    pub fn door_opened(&self, door: impl Into<String>) {
        self.doors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(door.into());
    }

    /// Says that a door is open no more, in the same words.
    pub fn door_shut(&self, door: &str) {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = doors.iter().position(|d| d == door) {
            doors.remove(at);
        }
    }

    /// Says which doors ought to be open and cannot be, each in a sentence with its fix. Replaces
    /// what was said before.
    pub fn doors_refused(&self, refused: Vec<String>) {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    /// What [`Counters::doors_refused`] was last told.
    pub fn refused_doors(&self) -> Vec<String> {
        self.shut
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The open doors.
    pub fn doors(&self) -> Vec<String> {
        self.doors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Control {
    pub(super) fn doors(&self) -> Vec<String> {
        self.counters.doors()
    }

    pub(super) fn counters(&self) -> BTreeMap<String, u64> {
        self.counters.all()
    }
}
