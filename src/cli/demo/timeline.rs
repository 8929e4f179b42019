//! A build as lines of text: what happened when, and how long each phase took.

use crate::cli::events;
use crate::model::event::StageEnd;
use crate::model::view::EventView;

/// One event with the time since the first.
pub(super) fn line(event: &EventView, first: Option<&EventView>) -> String {
    let since = first.map_or(0, |f| (event.time.as_second() - f.time.as_second()).max(0));
    format!(
        "{:>3}:{:02}  {:<12} {:<17} {}",
        since / 60,
        since % 60,
        event.phase.word(),
        event.kind,
        events::sentence(event)
    )
}

/// Each phase with its duration, and below it the steps that the installer named.
pub(super) fn summary(events: &[EventView]) -> String {
    let mut rows: Vec<(&'static str, i64, Vec<&StageEnd>)> = Vec::new();
    let mut began: Option<(&'static str, i64)> = None;
    let mut steps = Vec::new();
    for event in events {
        let now = event.time.as_millisecond();
        steps.extend(&event.ended);
        match began {
            Some((phase, _)) if phase == event.phase.word() => {}
            Some((phase, at)) => {
                rows.push((phase, now - at, std::mem::take(&mut steps)));
                began = Some((event.phase.word(), now));
            }
            None => began = Some((event.phase.word(), now)),
        }
    }
    let total: i64 = rows.iter().map(|(_, ms, _)| ms).sum();
    let mut out = String::from("\nPHASE         SECONDS\n");
    for (phase, ms, steps) in rows {
        out.push_str(&format!("{phase:<12} {:>8.1}\n", seconds(ms)));
        for step in steps {
            let took = step.milliseconds as f64 / 1000.0;
            out.push_str(&format!("  {:<18} {took:>8.1}\n", step.stage));
        }
    }
    if let Some((last, _)) = began {
        out.push_str(&format!(
            "{last:<12} {:>8.1}  after the flag\n",
            seconds(total)
        ));
    }
    out
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Phase, Stage, Timestamp};

    #[test]
    fn phases_are_summed_from_their_first_event() {
        let event = |second: i64, phase: Phase| EventView {
            number: second,
            time: Timestamp::from_second(second).expect("a time"),
            system: "demo01".into(),
            build: Some(1),
            kind: "x".into(),
            detail: String::new(),
            phase,
            ended: None,
        };
        let mut events = [
            event(0, Phase::Armed),
            event(2, Phase::Armed),
            event(5, Phase::Booting),
            event(15, Phase::Ready),
        ];
        events[3].ended = Some(StageEnd {
            stage: Stage::clean("extract"),
            milliseconds: 4_200,
        });
        let text = summary(&events);
        assert!(
            text.contains("booting          10.0\n  extract                 4.2\nready"),
            "{text}"
        );
        assert!(text.contains("armed             5.0"), "{text}");
        assert!(text.contains("booting          10.0"), "{text}");
        assert!(
            text.contains("ready            15.0  after the flag"),
            "{text}"
        );
        assert!(line(&events[3], Some(&events[0])).starts_with("  0:15  ready"));
    }
}
