//! wrk, and what it says.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use farrier::cli::demo::rack::Pair;

use crate::peer::processor;

/// What one run came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    /// Answers a second.
    pub(crate) requests: f64,
    /// Megabytes (of 1,000,000 bytes) a second.
    pub(crate) megabytes: f64,
    /// The server's processor time for all, in microseconds for each second of the run.
    pub(crate) used: f64,
}

impl Outcome {
    /// The server's processor time for each request, in microseconds.
    pub(crate) fn per_request(&self) -> f64 {
        self.used / self.requests
    }

    /// The server's processor time for each megabyte, in microseconds.
    pub(crate) fn per_megabyte(&self) -> f64 {
        self.used / self.megabytes
    }
}

/// On a busy machine 40 MB may take longer than wrk's own two seconds; a slow answer is no error.
const PATIENCE: &str = "--timeout=30s";

/// Runs wrk with these words in the client's namespace.
pub(crate) fn run(pair: &Pair, words: &[&str]) -> Result<Outcome> {
    let (before, began) = (processor(pair), Instant::now());
    let out = pair
        .client()
        .command("wrk")
        .arg(PATIENCE)
        .args(words)
        .output()
        .context("wrk")?;
    let text = String::from_utf8_lossy(&out.stdout);
    let used = (processor(pair) - before) * 1e6 / began.elapsed().as_secs_f64();
    let mut outcome = read(&text).with_context(|| {
        let error = String::from_utf8_lossy(&out.stderr);
        format!("wrk {}: {error}{text}", words.join(" "))
    })?;
    outcome.used = used;
    Ok(outcome)
}

fn read(text: &str) -> Result<Outcome> {
    let field = |name: &str| text.lines().find_map(|l| l.trim().strip_prefix(name));
    for wrong in ["Non-2xx or 3xx responses:", "Socket errors:"] {
        if let Some(count) = field(wrong) {
            bail!("{wrong}{count}");
        }
    }
    let (Some(requests), Some(transfer)) = (field("Requests/sec:"), field("Transfer/sec:")) else {
        bail!("its figures were not found");
    };
    Ok(Outcome {
        requests: requests.trim().parse().context("requests")?,
        megabytes: bytes(transfer.trim()).context("transfer")? / 1e6,
        used: 0.0,
    })
}

/// wrk writes `1.21GB` and means 1.21 * 2^30.
fn bytes(text: &str) -> Option<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let power = ["B", "KB", "MB", "GB", "TB"]
        .iter()
        .position(|u| *u == unit)?;
    Some(number.parse::<f64>().ok()? * 1024f64.powi(i32::try_from(power).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        let good = "  240 requests in 5.00s, 9.4GB read\nRequests/sec:     48.25\nTransfer/sec:      1.50GB\n";
        let outcome = read(good).expect("figures");
        assert_eq!(outcome.requests, 48.25);
        assert!((outcome.megabytes - 1610.6).abs() < 0.1);
        let bad = format!("  Non-2xx or 3xx responses: 12\n{good}");
        assert!(read(&bad).expect_err("refused").to_string().contains("12"));
        assert!(read("").is_err());
    }
}
