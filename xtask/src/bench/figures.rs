//! Samples, medians, targets.

/// What was measured of one server, round by round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn add(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// The middle one; of an even number, the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    /// The median, and the least and the most where they differ from it.
    fn shown(&self, unit: Unit) -> String {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let median = unit.write(self.median());
        if self.0.len() < 2 || unit.write(least) == unit.write(most) {
            return median;
        }
        format!("{median} ({} to {})", unit.write(least), unit.write(most))
    }
}

/// What a figure counts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    ExchangesPerSecond,
    RequestsPerSecond,
    MegabytesPerSecond,
    Megabytes,
    Milliseconds,
    Seconds,
    Count,
}

impl Unit {
    fn write(self, value: f64) -> String {
        match self {
            Unit::ExchangesPerSecond => format!("{value:.0}/s"),
            Unit::RequestsPerSecond => format!("{value:.0}/s"),
            Unit::MegabytesPerSecond => format!("{value:.0} MB/s"),
            Unit::Megabytes => format!("{value:.0} MB"),
            Unit::Milliseconds => format!("{value:.0} ms"),
            Unit::Seconds => format!("{value:.2} s"),
            Unit::Count => format!("{value:.0}"),
        }
    }
}

/// What the design wants.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// At least so many times the peer's.
    Ratio(f64),
    /// At most so much.
    Below(f64),
    /// Nothing; the figure is here for comparison.
    None,
}

/// One line of a table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: Unit,
    pub(crate) ours: Samples,
    pub(crate) peer: Option<(String, Samples)>,
    pub(crate) target: Target,
    pub(crate) cost: Option<Cost>,
}

/// The server's processor time for one piece of work.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    /// Such as `exchange`.
    pub(crate) piece: &'static str,
    /// Microseconds.
    pub(crate) ours: Samples,
    /// Microseconds.
    pub(crate) peer: Samples,
}

impl Cost {
    fn shown(&self) -> String {
        let (ours, peer) = (self.ours.median(), self.peer.median());
        format!("{ours:.0} and {peer:.0} µs for each {}", self.piece)
    }
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        let (_, peer) = self.peer.as_ref()?;
        Some(self.ours.median() / peer.median())
    }

    fn verdict(&self) -> &'static str {
        let reached = match self.target {
            Target::None => return "",
            Target::Below(most) => self.ours.median() <= most,
            // two digits, as it is printed
            Target::Ratio(least) => self
                .ratio()
                .is_some_and(|r| (r * 100.0).round() >= least * 100.0),
        };
        if reached {
            "reached"
        } else {
            "**not reached**"
        }
    }

    /// As a line of a Markdown table: what, Farrier, peer, ratio, target, verdict, cost.
    pub(crate) fn line(&self) -> String {
        let peer = self
            .peer
            .as_ref()
            .map_or_else(String::new, |(name, samples)| {
                format!("{name}: {}", samples.shown(self.unit))
            });
        let ratio = self
            .ratio()
            .filter(|r| r.is_finite())
            .map_or_else(String::new, |r| format!("{r:.2}"));
        let target = match self.target {
            Target::Ratio(least) => format!("at least {least}"),
            Target::Below(most) => format!("at most {}", self.unit.write(most)),
            Target::None => String::new(),
        };
        let ours = self.ours.shown(self.unit);
        let cost = self.cost.as_ref().map_or_else(String::new, Cost::shown);
        format!(
            "| {} | {ours} | {peer} | {ratio} | {target} | {} | {cost} |",
            self.what,
            self.verdict()
        )
    }
}

/// What one part found.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// How it was measured, in paragraphs.
    pub(crate) method: Vec<String>,
    pub(crate) rows: Vec<Row>,
    /// The commands, as typed.
    pub(crate) commands: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(list: &[f64]) -> Samples {
        Samples(list.to_vec())
    }

    #[test]
    fn medians_and_verdicts() {
        assert_eq!(samples(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(samples(&[4.0, 1.0]).median(), 2.5);
        let row = |ours: f64, target| Row {
            what: "x".into(),
            unit: Unit::Count,
            ours: samples(&[ours]),
            peer: Some(("p".into(), samples(&[100.0]))),
            target,
            cost: None,
        };
        assert_eq!(row(150.0, Target::Ratio(1.5)).verdict(), "reached");
        assert_eq!(row(149.0, Target::Ratio(1.5)).verdict(), "**not reached**");
        assert_eq!(row(5.0, Target::Below(5.0)).verdict(), "reached");
        assert_eq!(row(6.0, Target::Below(5.0)).verdict(), "**not reached**");
        assert_eq!(
            row(90.0, Target::None).line(),
            "| x | 90 | p: 100 | 0.90 |  |  |  |"
        );
    }
}
