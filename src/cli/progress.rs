//! Progress on stderr, for what takes longer than a second.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::printer::Printer;
use crate::model::command::FetchProgress;

/// One bar for each artefact that is being fetched.
pub(super) struct FetchBars {
    all: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
}

impl FetchBars {
    /// Bars on a terminal, nothing elsewhere.
    pub(super) fn new(printer: &Printer) -> FetchBars {
        FetchBars {
            all: MultiProgress::with_draw_target(target(printer)),
            bars: BTreeMap::new(),
        }
    }

    /// Moves one bar.
    pub(super) fn show(&mut self, progress: &FetchProgress) {
        let bar = self
            .bars
            .entry(progress.artefact.clone())
            .or_insert_with(|| {
                let bar = self.all.add(ProgressBar::no_length());
                bar.set_prefix(progress.artefact.clone());
                bar.set_style(style("{prefix:24!} {bytes:>10} {msg}"));
                bar
            });
        if let Some(total) = progress.total
            && bar.length().is_none()
        {
            bar.set_length(total);
            bar.set_style(style(
                "{prefix:24!} [{bar:24}] {bytes:>10}/{total_bytes} {bytes_per_sec} {msg}",
            ));
        }
        bar.set_position(progress.done);
        bar.set_message(progress.detail.clone());
    }

    /// Takes the bars away.
    pub(super) fn done(&self) {
        // Only a closed terminal makes this fail.
        let _ = self.all.clear();
    }
}

/// A spinner that says what is waited for.
pub(super) fn spinner(printer: &Printer, message: String) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, target(printer));
    bar.set_style(style("{spinner} {msg} ({elapsed})"));
    bar.set_message(message);
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn target(printer: &Printer) -> ProgressDrawTarget {
    if printer.draws_progress() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
