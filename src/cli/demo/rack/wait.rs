//! Waiting for something that will be seen, never for time to pass.

use std::time::{Duration, Instant};

use super::RackError;

/// How long something may take on a loaded host before it counts as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience(pub Duration);

impl Patience {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Patience {
        Patience(Duration::from_secs(seconds))
    }
}

/// Looks again and again until `look` finds something. `evidence` is only asked for if it never does.
///
/// # Errors
/// Whatever `look` fails with, or [`RackError::TimedOut`].
pub fn until<T>(
    what: &str,
    patience: Patience,
    evidence: impl FnOnce() -> String,
    mut look: impl FnMut() -> Result<Option<T>, RackError>,
) -> Result<T, RackError> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if began.elapsed() >= patience.0 {
            return Err(RackError::TimedOut {
                what: what.to_string(),
                seconds: patience.0.as_secs(),
                evidence: evidence(),
            });
        }
        std::thread::sleep(pause);
        // Quick things are seen quickly; a look that starts a process is not repeated all the time.
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_found_and_what_does_not_is_told() {
        let mut looks = 0;
        let found = until("it", Patience::seconds(5), String::new, || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(found.expect("found"), 3);
        let lost: Result<(), _> = until(
            "the moon",
            Patience(Duration::ZERO),
            || "dark".into(),
            || Ok(None),
        );
        let text = lost.expect_err("never").to_string();
        assert!(text.contains("the moon was not seen") && text.ends_with("dark"));
    }
}
