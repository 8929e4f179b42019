//! The state machine's tables.

use super::*;
use crate::boot::decide::SERVINGS_PER_ATTEMPT;
use crate::model::event::AgentReport;
use crate::model::{Digest, Firmware};

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

fn web01() -> Name {
    "web01".parse().expect("a name")
}

fn flagged(purpose: Purpose, attempts: u32) -> EventKind {
    EventKind::Flagged {
        purpose,
        profile: "debian-12".parse().expect("a name"),
        revision: Digest([1; 32]),
        expires: at(86_400),
        attempts,
        retry_after_write: false,
        revoke: Vec::new(),
        actor: "root".to_string(),
    }
}

fn began() -> EventKind {
    EventKind::BootBegan {
        mac: "52:54:00:00:00:01".parse().expect("a mac"),
        firmware: Firmware::BIOS,
        uuid: None,
    }
}

fn answer() -> EventKind {
    EventKind::AnswerFetched {
        name: "preseed.cfg".to_string(),
    }
}

fn permitted() -> EventKind {
    EventKind::WritePermitted {
        disk: "/dev/vda".to_string(),
        contents: "blank".to_string(),
        known: vec!["S1|0x5000c500|21474836480".to_string()],
    }
}

fn failed() -> EventKind {
    EventKind::InstallerFailed {
        stage: Stage::clean("packages"),
        detail: "no mirror".to_string(),
    }
}

fn redeemed(key: &str) -> EventKind {
    EventKind::HandoffRedeemed {
        key: key.to_string(),
    }
}

fn agent(class: &str) -> EventKind {
    EventKind::AgentReported(AgentReport {
        agent: "steps".to_string(),
        code: i32::from(class == "failed"),
        class: class.to_string(),
        seconds: 3,
        reason: None,
        log: "all\nlast line".to_string(),
        host_keys: Vec::new(),
    })
}

/// Runs events, each at its second, from a machine without a build.
fn run(events: &[(i64, EventKind)]) -> Result<Build, StepError> {
    let mut build: Option<Build> = None;
    for (when, event) in events {
        let last = build.as_ref().map_or(0, |b| b.key.epoch);
        let next = step(
            &web01(),
            build.as_ref(),
            last,
            event,
            &Deadlines::default(),
            at(*when),
        )?;
        build = next.or(build);
    }
    Ok(build.expect("a build"))
}

/// A build brought into a phase by the events that lead there.
pub(crate) fn build_in(phase: Phase) -> Build {
    let mut events = vec![(0, flagged(Purpose::Install, 2))];
    let path: &[EventKind] = &[
        EventKind::ScriptServed,
        answer(),
        EventKind::InstallerEnded,
        redeemed("k"),
        agent("ok"),
    ];
    let take = match phase {
        Phase::Idle | Phase::Armed => 0,
        Phase::Booting => 1,
        Phase::Installing | Phase::Failed | Phase::Stalled | Phase::Held => 2,
        Phase::Installed => 3,
        Phase::Configuring => 4,
        Phase::Ready => 5,
    };
    events.extend(path[..take].iter().cloned().zip(1..).map(|(e, t)| (t, e)));
    match phase {
        Phase::Idle => events.push((
            5,
            EventKind::Cancelled {
                actor: "root".into(),
            },
        )),
        Phase::Failed => events.push((5, failed())),
        Phase::Stalled => events.push((100_000, EventKind::DeadlinePassed)),
        Phase::Held => {
            events.push((5, permitted()));
            events.push((60, began()));
        }
        _ => {}
    }
    let build = run(&events).expect("a legal path");
    assert_eq!(build.phase, phase);
    build
}

#[test]
fn the_straight_way_ends_ready() {
    let build = build_in(Phase::Ready);
    assert_eq!(build.key.epoch, 1);
    assert_eq!(build.attempts, 1);
    assert!(build.deadline.is_none() && build.ended.is_some());
}

#[test]
fn every_active_phase_has_a_deadline_and_a_way_out() {
    for phase in Phase::ALL {
        let build = build_in(phase);
        assert_eq!(build.deadline.is_some(), phase.is_active(), "{phase}");
        if phase.is_active() {
            let late = after(build.deadline.expect("checked"), Duration::from_secs(1));
            let next = step(
                &web01(),
                Some(&build),
                1,
                &EventKind::DeadlinePassed,
                &Deadlines::default(),
                late,
            );
            let next = next.expect("due").expect("a change");
            assert!(!next.phase.is_active(), "{phase} -> {}", next.phase);
        }
    }
}

#[test]
fn only_a_flag_leads_back_to_armed() {
    let events = [
        EventKind::Cancelled { actor: "x".into() },
        began(),
        EventKind::ScriptServed,
        EventKind::LocalServed,
        answer(),
        EventKind::InstallerStarted {
            detail: String::new(),
        },
        permitted(),
        EventKind::WriteRefused {
            reason: "two disks match".into(),
        },
        EventKind::Progress {
            stage: Stage::clean("x"),
            detail: String::new(),
        },
        EventKind::InstallerEnded,
        failed(),
        redeemed("other"),
        agent("ok"),
        agent("failed"),
        EventKind::DeadlinePassed,
    ];
    for phase in Phase::ALL {
        let build = build_in(phase);
        for event in &events {
            for when in [20, 200_000] {
                let next = step(
                    &web01(),
                    Some(&build),
                    1,
                    event,
                    &Deadlines::default(),
                    at(when),
                );
                if let Ok(Some(next)) = next {
                    assert_ne!(
                        (phase != Phase::Armed, next.phase),
                        (true, Phase::Armed),
                        "{phase} {event:?}"
                    );
                    if matches!(
                        phase,
                        Phase::Idle | Phase::Ready | Phase::Failed | Phase::Held
                    ) {
                        assert!(
                            !next.phase.is_active(),
                            "{phase} {event:?} -> {}",
                            next.phase
                        );
                    }
                    assert_eq!(
                        next.deadline.is_some(),
                        next.phase.is_active(),
                        "{phase} {event:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_boot_that_asks_again_is_one_attempt() {
    let build = run(&[
        (0, flagged(Purpose::Install, 2)),
        (5, began()),
        (6, EventKind::ScriptServed),
        (7, began()),
        (8, EventKind::ScriptServed),
    ])
    .expect("the same boot");
    assert_eq!((build.attempts, build.phase), (1, Phase::Booting));
}

#[test]
fn a_power_cut_while_booting_may_retry_and_is_then_held() {
    let mut events = vec![
        (0, flagged(Purpose::Install, 2)),
        (6, EventKind::ScriptServed),
        (60, began()),
        (66, EventKind::ScriptServed),
    ];
    let build = run(&events).expect("a retry");
    assert_eq!((build.attempts, build.phase), (2, Phase::Booting));
    events.push((120, began()));
    let build = run(&events).expect("held");
    assert_eq!(build.phase, Phase::Held);
    assert!(
        build
            .reason
            .expect("a reason")
            .contains("2 boots are spent")
    );
}

#[test]
fn a_power_cut_while_installing_retries_only_if_nothing_was_written() {
    let untouched = [
        (0, flagged(Purpose::Install, 2)),
        (6, EventKind::ScriptServed),
        (7, answer()),
        (60, began()),
        (61, EventKind::ScriptServed),
    ];
    let build = run(&untouched).expect("a retry");
    assert_eq!((build.attempts, build.phase), (2, Phase::Booting));
    let written = [
        (0, flagged(Purpose::Install, 2)),
        (6, EventKind::ScriptServed),
        (7, answer()),
        (8, permitted()),
        (60, began()),
    ];
    let build = run(&written).expect("held");
    assert_eq!(build.phase, Phase::Held);
    let mut again = written.to_vec();
    again.push((61, EventKind::ScriptServed));
    assert!(matches!(run(&again), Err(StepError::OwnDisk { .. })));
}

#[test]
fn a_machine_that_restarts_within_seconds_does_not_loop() {
    let mut events = vec![(0, flagged(Purpose::Install, 2))];
    for i in 0..2 * i64::from(SERVINGS_PER_ATTEMPT) {
        events.push((i, began()));
        events.push((i, EventKind::ScriptServed));
    }
    assert!(run(&events).is_ok());
    events.push((14, EventKind::ScriptServed));
    assert!(matches!(
        run(&events),
        Err(StepError::OwnDisk {
            why: Why::AttemptsSpent { .. },
            ..
        })
    ));
    events.pop();
    events.push((14, EventKind::LocalServed));
    assert_eq!(run(&events).expect("an end").phase, Phase::Held);
}

#[test]
fn an_expired_flag_serves_nothing() {
    let events = [
        (0, flagged(Purpose::Install, 2)),
        (86_400, EventKind::ScriptServed),
    ];
    assert!(matches!(
        run(&events),
        Err(StepError::OwnDisk {
            why: Why::FlagExpired { .. },
            ..
        })
    ));
}

#[test]
fn a_disk_is_remembered_until_an_installer_is_done_with_it() {
    let broken = [
        (0, flagged(Purpose::Install, 2)),
        (1, EventKind::ScriptServed),
        (2, permitted()),
        (3, failed()),
        (4, flagged(Purpose::Install, 2)),
    ];
    let again = run(&broken).expect("armed again");
    assert_eq!((again.disk, again.unfinished.len()), (None, 1));
    let done = [
        (5, EventKind::ScriptServed),
        (6, permitted()),
        (7, EventKind::InstallerEnded),
    ];
    let done: Vec<_> = broken.iter().cloned().chain(done).collect();
    assert!(run(&done).expect("installed").unfinished.is_empty());
}

#[test]
fn flagging_again_counts_up_and_does_not_interrupt() {
    let build = run(&[
        (0, flagged(Purpose::Install, 2)),
        (1, flagged(Purpose::Install, 2)),
    ])
    .expect("armed again");
    assert_eq!(build.key.epoch, 2);
    let busy = [
        (0, flagged(Purpose::Install, 2)),
        (1, EventKind::ScriptServed),
        (2, flagged(Purpose::Install, 2)),
    ];
    assert!(matches!(run(&busy), Err(StepError::UnderWay { .. })));
}

#[test]
fn a_hand_off_is_redeemed_once_and_a_repeat_with_the_same_key_is_the_same() {
    let build = build_in(Phase::Configuring);
    let tell = |key: &str| {
        step(
            &web01(),
            Some(&build),
            1,
            &redeemed(key),
            &Deadlines::default(),
            at(10),
        )
    };
    assert_eq!(tell("k"), Ok(None));
    assert_eq!(tell("thief"), Err(StepError::AlreadyRedeemed(web01())));
}

#[test]
fn a_stalled_machine_may_still_tell_the_truth() {
    let build = build_in(Phase::Stalled);
    let next = |event: &EventKind| {
        step(
            &web01(),
            Some(&build),
            1,
            event,
            &Deadlines::default(),
            at(100_001),
        )
    };
    assert_eq!(
        next(&EventKind::InstallerEnded)
            .expect("ok")
            .expect("moved")
            .phase,
        Phase::Installed
    );
    assert!(matches!(
        next(&EventKind::ScriptServed),
        Err(StepError::OwnDisk { .. })
    ));
    assert!(matches!(next(&answer()), Err(StepError::NotInPhase { .. })));
}

#[test]
fn a_one_shot_boots_once() {
    let up = [
        (0, flagged(Purpose::Once, 1)),
        (1, EventKind::ScriptServed),
        (
            2,
            EventKind::AnswerFetched {
                name: "authorized_keys".into(),
            },
        ),
        (
            3,
            EventKind::InstallerStarted {
                detail: "sshd".into(),
            },
        ),
    ];
    assert_eq!(run(&up).expect("up").phase, Phase::Ready);
    let silent = [
        (0, flagged(Purpose::Once, 1)),
        (1, EventKind::ScriptServed),
        (60, began()),
    ];
    assert_eq!(run(&silent).expect("ended").phase, Phase::Stalled);
}

#[test]
fn a_failed_agent_fails_the_build_with_its_last_line() {
    let build = run(&[
        (0, flagged(Purpose::Install, 2)),
        (1, EventKind::ScriptServed),
        (2, answer()),
        (3, EventKind::InstallerEnded),
        (4, redeemed("k")),
        (5, agent("failed")),
    ])
    .expect("an end");
    assert_eq!(build.phase, Phase::Failed);
    assert_eq!(build.reason.as_deref(), Some("last line"));
    assert_eq!(build.stage.expect("a stage").as_str(), "configure");
}

#[test]
fn a_hand_off_that_was_asked_for_outlives_an_unheard_end() {
    let mut events = vec![
        (0, flagged(Purpose::Install, 2)),
        (1, EventKind::ScriptServed),
        (2, answer()),
        (3, permitted()),
        (4, EventKind::HandoffAsked),
    ];
    let installing = run(&events).expect("installing");
    assert_eq!(
        implied(&installing, &redeemed("k")),
        Some(EventKind::EndImplied)
    );
    events.push((60, began()));
    let held = run(&events).expect("held");
    assert_eq!(held.phase, Phase::Held, "it looks like a power cut");
    assert_eq!(implied(&held, &redeemed("k")), Some(EventKind::EndImplied));
    events.push((61, EventKind::EndImplied));
    events.push((61, redeemed("k")));
    let build = run(&events).expect("taken");
    assert_eq!((build.phase, build.ended), (Phase::Configuring, None));
    assert_eq!(implied(&build, &redeemed("k")), None);

    let unasked = build_in(Phase::Installing);
    assert_eq!(implied(&unasked, &redeemed("k")), None);
    let told = |event: &EventKind| {
        let deadlines = Deadlines::default();
        step(&web01(), Some(&unasked), 1, event, &deadlines, at(10))
    };
    for event in [EventKind::EndImplied, redeemed("k")] {
        assert!(matches!(told(&event), Err(StepError::NotInPhase { .. })));
    }
}

fn id(first: u8) -> Option<MachineId> {
    let mut bytes = [7; 16];
    bytes[0] = first;
    MachineId::read(bytes)
}

#[test]
fn a_claimed_hardware_address_does_not_hold_a_build() {
    let began = |uuid| EventKind::BootBegan {
        mac: "52:54:00:00:00:01".parse().expect("a mac"),
        firmware: Firmware::UEFI,
        uuid,
    };
    let until = |uuid| {
        run(&[
            (0, flagged(Purpose::Install, 2)),
            (1, began(id(1))),
            (2, EventKind::ScriptServed),
            (3, answer()),
            (4, permitted()),
            (60, began(uuid)),
        ])
        .expect("a build")
    };
    assert_eq!(until(id(2)).phase, Phase::Installing, "another machine's");
    assert_eq!(until(id(1)).phase, Phase::Held, "its own");
    assert_eq!(
        until(None).phase,
        Phase::Held,
        "one that gives none is believed"
    );
    assert_eq!(until(id(1)).firmware, Some(Firmware::UEFI));
}

#[test]
fn an_identifier_is_the_same_in_either_byte_order() {
    let bytes: [u8; 16] = std::array::from_fn(|i| i as u8);
    let mut swapped = bytes;
    swapped[..4].reverse();
    swapped[4..6].reverse();
    swapped[6..8].reverse();
    let read = |b| MachineId::read(b).expect("one");
    assert!(read(bytes).is(&read(swapped)) && read(swapped).is(&read(bytes)));
    assert!(!read(bytes).is(&id(1).expect("one")));
    assert_eq!(MachineId::read([0xff; 16]), None, "boards without one");
}

#[test]
fn restart_after_restart_ends_in_time() {
    let lasts = i64::try_from(Deadlines::default().configure.as_secs()).expect("seconds");
    let mut build = build_in(Phase::Configuring);
    let mut now = 10;
    while build.phase == Phase::Configuring {
        assert!(now < 10 * lasts, "it restarts for ever");
        let due = build.deadline.expect("a deadline");
        let event = if at(now) >= due {
            EventKind::DeadlinePassed
        } else {
            agent("reboot")
        };
        let next = step(
            &web01(),
            Some(&build),
            1,
            &event,
            &Deadlines::default(),
            at(now),
        );
        build = next.expect("accepted").expect("a change");
        now += 60;
    }
    assert_eq!(build.phase, Phase::Stalled);
    assert!(now > 3 * lasts, "a few restarts are fine");
}

#[test]
fn a_one_shots_tokens_die_when_it_is_up() {
    let mut events = vec![(0, flagged(Purpose::Once, 1)), (1, EventKind::ScriptServed)];
    let booting = run(&events).expect("booting");
    let up = EventKind::InstallerStarted {
        detail: "sshd".into(),
    };
    events.push((3, up));
    let up = run(&events).expect("up");
    for scope in [crate::boot::Scope::Read, crate::boot::Scope::Report] {
        assert!(crate::lifecycle::scope_open(&booting, scope, at(9)));
        assert!(!crate::lifecycle::scope_open(&up, scope, at(9)));
    }
}
