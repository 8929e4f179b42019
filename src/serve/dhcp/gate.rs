//! A limit on what is written down of machines that nobody is building.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

/// Steps per second that are written down of machines without a build under way.
const RATE: f64 = 200.0;

/// A bucket that fills at [`RATE`] and holds one second's worth. It reads the machine's own steady
/// clock, for it limits work and decides nothing.
#[derive(Debug)]
pub(super) struct Gate {
    bucket: Mutex<(f64, Instant)>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Gate {
            bucket: Mutex::new((RATE, Instant::now())),
        }
    }

    /// Whether one more may pass.
    pub(super) fn pass(&self) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if bucket.0 < 1.0 {
            let now = Instant::now();
            let gained = now.duration_since(bucket.1).as_secs_f64() * RATE;
            *bucket = ((bucket.0 + gained).min(RATE), now);
        }
        if bucket.0 < 1.0 {
            return false;
        }
        bucket.0 -= 1.0;
        true
    }
}
