//! Prometheus text.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::control::Control;
use crate::model::Phase;
use crate::model::view::StatusView;

/// What a scraper reads.
const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything [`Control::status`] counts. No label names a machine.
pub(super) async fn metrics(State(control): State<Arc<Control>>) -> Response {
    match text(&control.status()) {
        Ok(text) => ([(CONTENT_TYPE, TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn text(status: &StatusView) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("farrier");
    let systems = Family::<Vec<(String, String)>, Gauge>::default();
    for phase in Phase::ALL {
        let count = status.phases.get(phase.word()).copied().unwrap_or(0);
        systems
            .get_or_create(&vec![("phase".to_string(), phase.word().to_string())])
            .set(whole(count));
    }
    registry.register("systems", "Systems by phase", systems);
    let declared: Gauge = Gauge::default();
    declared.set(whole(status.systems));
    registry.register("systems_declared", "Systems declared", declared);
    let attention: Gauge = Gauge::default();
    attention.set(whole(status.attention.len()));
    registry.register("attention", "Things that need a person", attention);
    let stale: Gauge = Gauge::default();
    stale.set(i64::from(status.stale.is_some()));
    registry.register(
        "files_refused",
        "Newer files are on disk and were refused",
        stale,
    );
    let started: Gauge = Gauge::default();
    started.set(status.started.as_second());
    registry.register("start_time_seconds", "When the server started", started);
    for (name, count) in &status.counters {
        let counter: Counter = Counter::default();
        counter.inc_by(*count);
        registry.register(plain(name), "Since the server started", counter);
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A dotted name as Prometheus spells names.
fn plain(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_and_counter_is_there() {
        let status = StatusView {
            version: "0".to_string(),
            pid: 1,
            started: crate::model::Timestamp::UNIX_EPOCH,
            revision: String::new(),
            stale: None,
            doors: Vec::new(),
            phases: [("ready".to_string(), 3)].into(),
            systems: 3,
            unrendered: 0,
            attention: Vec::new(),
            alarms: Vec::new(),
            counters: [("dhcp.offers".to_string(), 7)].into(),
        };
        let text = text(&status).expect("text");
        for line in [
            "farrier_systems{phase=\"ready\"} 3",
            "farrier_systems{phase=\"failed\"} 0",
            "farrier_dhcp_offers_total 7",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
