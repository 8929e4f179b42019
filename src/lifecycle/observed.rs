//! Where a machine stands, inferred from what this server saw: for installers that say nothing.
//!
//! None of it is authenticated, so it is shown as seen and moves no phase.

use crate::model::{Build, EventKind, Phase, Stage};

/// The step that an event shows a build to be at, if that is news.
pub fn seen(build: &Build, event: &EventKind) -> Option<Stage> {
    use Phase::{Booting, Configuring, Installed, Installing};
    let word = match event {
        EventKind::Leased { client, .. } => match (build.phase, client.as_str()) {
            (Booting, "firmware") => "firmware",
            (Booting, "ipxe") => "loader",
            (Booting | Installing, "installer" | "system") => "network",
            (Installed | Configuring, "system") => "up",
            _ => return None,
        },
        EventKind::Fetched { name, .. } if build.phase == Booting => file(name),
        EventKind::Seen { stage, .. } if matches!(build.phase, Booting | Installing) => {
            stage.as_str()
        }
        _ => return None,
    };
    let stage = Stage::clean(word);
    (build.observed.as_ref() != Some(&stage)).then_some(stage)
}

/// What fetching a boot artefact shows.
fn file(name: &str) -> &'static str {
    let loader = name.ends_with(".efi") || name.ends_with(".kpxe");
    if loader && !name.contains("memtest") {
        "loader"
    } else if name.contains("initrd") || name.contains("initramfs") {
        "initrd"
    } else if name.contains("squash") || name.ends_with(".img") {
        "image"
    } else {
        "kernel"
    }
}

/// The step that fetching a file of a distribution mirror shows an installer to be at.
pub fn of_mirror(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("udeb") => "components",
        Some("deb" | "rpm" | "apk") => "packages",
        _ => "repository",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::step;
    use crate::lifecycle::step::tests::{at, build_in};
    use crate::model::Deadlines;

    fn after(build: &Build, event: &EventKind) -> Option<Build> {
        let system = build.key.system.clone();
        step(&system, Some(build), 1, event, &Deadlines::default(), at(9)).expect("noted")
    }

    fn leased(client: &str) -> EventKind {
        EventKind::Leased {
            mac: "52:54:00:00:00:01".parse().expect("a mac"),
            ip: [10, 77, 0, 11].into(),
            client: client.into(),
        }
    }

    fn fetched(name: &str) -> EventKind {
        EventKind::Fetched {
            name: name.into(),
            size: 1,
            via: "http".into(),
        }
    }

    #[test]
    fn a_silent_installer_still_shows_where_it_stands() {
        for (phase, event, shown) in [
            (Phase::Booting, leased("ipxe"), "loader"),
            (Phase::Booting, fetched("linux"), "kernel"),
            (Phase::Booting, fetched("initrd.gz"), "initrd"),
            (Phase::Booting, fetched("snponly.efi"), "loader"),
            (Phase::Installing, leased("installer"), "network"),
            (Phase::Installed, leased("system"), "up"),
        ] {
            let was = build_in(phase);
            let now = after(&was, &event).expect("news");
            assert_eq!(now.observed, Some(Stage::clean(shown)), "{event:?}");
            let unseen = Build {
                observed: None,
                ..now.clone()
            };
            assert_eq!(unseen, was, "nothing else changes");
            assert_eq!(after(&now, &event), None, "said twice it is no news");
        }
    }

    #[test]
    fn what_anybody_can_send_moves_no_phase() {
        let event = EventKind::Seen {
            stage: Stage::clean("instsoft"),
            detail: "FAI instsoft began".into(),
            by: "fai-monitor".into(),
        };
        for phase in Phase::ALL {
            let was = build_in(phase);
            let now = after(&was, &event).unwrap_or_else(|| was.clone());
            assert_eq!(now.phase, phase);
            assert_eq!((now.stage, now.deadline), (was.stage, was.deadline));
        }
    }

    #[test]
    fn what_a_machine_says_itself_is_better() {
        let was = build_in(Phase::Installing);
        let seen = after(&was, &leased("installer")).expect("news");
        let said = EventKind::Progress {
            stage: Stage::clean("partition"),
            detail: String::new(),
        };
        let now = after(&seen, &said).expect("moved");
        assert_eq!(
            (now.observed, now.stage),
            (None, Some(Stage::clean("partition")))
        );
    }
}
