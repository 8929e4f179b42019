//! perfdhcp, and the search for the rate that a server bears.

use std::process::Command;

use anyhow::{Context, Result, bail};
use farrier::cli::demo::rack::Pair;

use crate::peer::processor;
use crate::site::SERVER;

/// The share of exchanges that may be lost.
const LOST: f64 = 0.01;
/// What the rate is raised or lowered by.
const STEP: f64 = 1.0 + 1.0 / 12.0;
/// What it is raised or lowered by while it is not known at all.
const STRIDE: f64 = STEP * STEP * STEP * STEP;
/// Runs of one search at most.
const MOST: usize = 12;

/// So many clients for so many seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    clients: u32,
    seconds: u32,
}

/// What one run came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    /// Complete exchanges a second.
    pub(crate) rate: f64,
    /// DISCOVERs sent a second.
    pub(crate) offered: f64,
    /// The larger share of unanswered DISCOVERs and REQUESTs.
    pub(crate) lost: f64,
    /// The server's processor time for each exchange, in microseconds.
    pub(crate) cost: f64,
}

impl Load {
    pub(crate) fn new(clients: u32, seconds: u32) -> Load {
        Load { clients, seconds }
    }

    fn words(self, rate: &str) -> Vec<String> {
        // With a thread of its own for receiving (the default) perfdhcp wakes it for each packet, and
        // loses answers in its own socket's buffer from 8,000 exchanges a second on.
        let text = format!(
            "perfdhcp -4 -g single -l eth0 -r {rate} -R {} -p {} -W 500000 -b mac=00:0c:01:00:00:00 {SERVER}",
            self.clients, self.seconds
        );
        text.split(' ').map(str::to_string).collect()
    }

    /// The command as typed.
    pub(crate) fn shown(self, rate: &str) -> String {
        self.words(rate).join(" ")
    }

    /// Every client once, at a rate that any server here bears: what is measured is not the first
    /// sight of a client.
    pub(crate) fn warm_up(self, pair: &Pair) -> Result<()> {
        let rate = 3000.0;
        let seconds = (f64::from(self.clients) / rate).ceil() as u32 + 1;
        let warm = Load { seconds, ..self };
        warm.run(pair, rate).map(drop)
    }

    /// One run.
    pub(crate) fn run(self, pair: &Pair, rate: f64) -> Result<Outcome> {
        let words = self.words(&format!("{:.0}", rate.max(1.0)));
        let mut command: Command = pair.client().command(&words[0]);
        let before = processor(pair);
        let out = command.args(&words[1..]).output().context("perfdhcp")?;
        let used = processor(pair) - before;
        let text = String::from_utf8_lossy(&out.stdout);
        // It ends with 3 if anything was lost, which is for us to judge.
        let seconds = f64::from(self.seconds);
        let mut outcome = read(&text, seconds).with_context(|| {
            let error = String::from_utf8_lossy(&out.stderr);
            format!("perfdhcp ended with {:?}: {error}{text}", out.status.code())
        })?;
        outcome.cost = used * 1e6 / (outcome.rate * seconds).max(1.0);
        Ok(outcome)
    }
}

fn read(text: &str, seconds: f64) -> Result<Outcome> {
    let section = |name: &str| {
        let mark = format!("***Statistics for: {name}***");
        text.split_once(mark.as_str()).map(|(_, rest)| rest)
    };
    let count = |name: &str, what: &str| -> Option<f64> {
        let line = section(name)?.lines().find(|l| l.starts_with(what))?;
        line.split_once(": ")?.1.trim().parse().ok()
    };
    let both = |name: &str| {
        Some((
            count(name, "sent packets")?,
            count(name, "received packets")?,
        ))
    };
    let (Some((discovers, offers)), Some((requests, acks))) =
        (both("DISCOVER-OFFER"), both("REQUEST-ACK"))
    else {
        bail!("its figures were not found");
    };
    let lost = |sent: f64, got: f64| if sent > 0.0 { 1.0 - got / sent } else { 1.0 };
    Ok(Outcome {
        rate: acks / seconds,
        offered: discovers / seconds,
        lost: lost(discovers, offers).max(lost(requests, acks)),
        cost: 0.0,
    })
}

/// A search for the highest rate; the next one begins where this one ended.
#[derive(Debug)]
pub(crate) struct Search {
    next: f64,
    known: bool,
}

impl Search {
    pub(crate) fn from(rate: f64) -> Search {
        Search {
            next: rate,
            known: false,
        }
    }

    /// What came of the highest rate that was borne.
    pub(crate) fn run(&mut self, pair: &Pair, load: &Load) -> Result<Outcome> {
        let (rate, outcome) = search(self.next, self.known, &mut |rate| load.run(pair, rate))?;
        self.next = rate;
        self.known = true;
        Ok(outcome)
    }
}

/// The rate asked for and what came of it. A rate that was not borne is tried once more: the machine
/// may have had something else to do.
fn search(
    from: f64,
    known: bool,
    run: &mut dyn FnMut(f64) -> Result<Outcome>,
) -> Result<(f64, Outcome)> {
    let stride = if known { STEP } else { STRIDE };
    let (mut borne, mut failed): (Option<(f64, Outcome)>, Option<f64>) = (None, None);
    let mut rate = from;
    for _ in 0..MOST {
        let mut outcome = run(rate)?;
        if outcome.lost > LOST {
            outcome = run(rate)?;
        }
        if outcome.lost <= LOST {
            borne = Some((rate, outcome));
            // A generator that falls behind sets the limit itself.
            if outcome.offered < rate * 0.9 {
                break;
            }
        } else {
            failed = Some(rate);
        }
        rate = match (borne, failed) {
            (Some((good, _)), Some(bad)) if bad / good < STEP * 1.01 => break,
            (Some((good, _)), Some(bad)) => (good * bad).sqrt(),
            (Some((good, _)), None) => good * stride,
            (None, _) => rate / stride,
        };
    }
    borne.context("no rate was borne without loss")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        let text = "***Rate statistics***\nRate: 998.1 4-way exchanges/second, expected rate: 1000\n\n\
            ***Statistics for: DISCOVER-OFFER***\nsent packets: 3000\nreceived packets: 2970\ndrops: 30\n\n\
            ***Statistics for: REQUEST-ACK***\nsent packets: 2970\nreceived packets: 2970\ndrops: 0\n";
        let outcome = read(text, 3.0).expect("figures");
        assert_eq!((outcome.rate, outcome.offered), (990.0, 1000.0));
        assert!((outcome.lost - 0.01).abs() < 1e-9);
        assert!(read("nothing", 3.0).is_err());
    }

    #[test]
    fn the_limit_is_found_from_above_and_below() {
        for (from, known) in [
            (8000.0, false),
            (500.0, false),
            (9000.0, true),
            (6500.0, true),
        ] {
            let mut runs = 0;
            let found = search(from, known, &mut |rate| {
                runs += 1;
                let lost = if rate > 7000.0 { 0.2 } else { 0.0 };
                Ok(Outcome {
                    rate,
                    offered: rate,
                    lost,
                    cost: 0.0,
                })
            });
            let rate = found.expect("found").1.rate;
            assert!(
                (7000.0 / STEP / STEP..=7000.0).contains(&rate),
                "{from}: {rate} in {runs}"
            );
        }
        let slow = search(8000.0, false, &mut |rate| {
            Ok(Outcome {
                rate: 9000.0,
                offered: rate.min(9000.0),
                lost: 0.0,
                cost: 0.0,
            })
        });
        assert_eq!(slow.expect("found").1.rate, 9000.0);
    }
}
