//! The steps of a build, as its installer named them, and how long they took.

use std::time::Duration;

use super::{Control, Snapshot};
use crate::lifecycle::stages::usually;
use crate::model::view::StageView;
use crate::model::{Name, Timestamp};

impl Control {
    /// The steps of a system's latest build, oldest first; the one under way last.
    pub(super) async fn stages(&self, snapshot: &Snapshot, system: &Name) -> Vec<StageView> {
        let machine = snapshot.machines.get(system);
        let Some(build) = machine.and_then(|m| m.current()) else {
            return Vec::new();
        };
        let over = self.store.stages_of(&build.key).await.unwrap_or_default();
        let now = build.stage.as_ref().zip(build.stage_since);
        if over.is_empty() && now.is_none() {
            return Vec::new();
        }
        // Machines alike, if there were any: another firmware takes another time.
        let (store, profile) = (&self.store, &build.profile);
        let mut ends = store
            .stage_ends(profile, build.firmware)
            .await
            .unwrap_or_default();
        if ends.is_empty() {
            ends = store.stage_ends(profile, None).await.unwrap_or_default();
        }
        let usual = usually(&ends);
        let view = |stage: String, began: Timestamp, milliseconds| StageView {
            usual_milliseconds: usual
                .get(&stage)
                .map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            stage,
            began,
            milliseconds,
        };
        let mut views: Vec<StageView> = over
            .into_iter()
            .map(|(at, end)| {
                let began = at.checked_sub(Duration::from_millis(end.milliseconds));
                let began = began.unwrap_or(at);
                view(end.stage.to_string(), began, Some(end.milliseconds))
            })
            .collect();
        views.extend(now.map(|(stage, since)| view(stage.to_string(), since, None)));
        views
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use crate::control::tests::{Bench, event};
    use crate::model::command::{EventQuery, WhyRequest};
    use crate::model::event::AgentReport;
    use crate::model::{EventKind, Stage};

    fn progress(stage: &str) -> EventKind {
        EventKind::Progress {
            stage: Stage::clean(stage),
            detail: String::new(),
        }
    }

    #[tokio::test]
    async fn steps_and_their_durations_are_kept_and_the_next_build_knows_what_is_usual() {
        let bench = Bench::new();
        let control = bench.open().await;
        let done = EventKind::AgentReported(AgentReport::well("steps"));
        for (epoch, extract) in [(1, 50), (2, 70), (3, 0)] {
            bench.flag(&control).await.expect("flagged");
            let story = [
                (3, EventKind::ScriptServed),
                (
                    9,
                    EventKind::InstallerStarted {
                        detail: String::new(),
                    },
                ),
                (2, progress("partition")),
                (5, progress("extract")),
                (extract, progress("bootloader")),
                (8, EventKind::InstallerEnded),
                (40, done.clone()),
            ];
            // The third is in the midst of unpacking.
            let take = if epoch == 3 { 4 } else { story.len() };
            for (seconds, kind) in story.into_iter().take(take) {
                bench.seconds.fetch_add(seconds, Ordering::Relaxed);
                control.tell(event(epoch, kind)).await.expect("a step");
            }
        }
        let request = WhyRequest {
            subject: "web01".into(),
            arch: None,
            stage: None,
        };
        let steps: Vec<(String, Option<u64>, Option<u64>)> = control
            .why(&request)
            .await
            .expect("a reason")
            .stages
            .into_iter()
            .map(|s| (s.stage, s.milliseconds, s.usual_milliseconds))
            .collect();
        let step = |stage: &str, took, usual| (String::from(stage), took, Some(usual));
        assert_eq!(
            steps,
            [
                step("start", Some(2_000), 2_000),
                step("partition", Some(5_000), 5_000),
                step("extract", None, 70_000),
            ]
        );
        let page = control
            .events(&EventQuery::default())
            .await
            .expect("events");
        let ends: Vec<String> = page
            .events
            .iter()
            .filter(|e| e.build == Some(1))
            .filter_map(|e| e.ended.as_ref())
            .map(|e| format!("{} {}", e.stage, e.milliseconds))
            .collect();
        assert_eq!(
            ends,
            [
                "start 2000",
                "partition 5000",
                "extract 50000",
                "bootloader 8000"
            ]
        );
    }
}
