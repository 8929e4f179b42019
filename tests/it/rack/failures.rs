//! Every way a build can go wrong, with phantoms: section by section of a build's life, what is
//! recorded, and what the machine is told at its next boot.

use farrier::cli::demo::rack::{Patience, Rack, RackError, tools};
use farrier::model::Phase;

use super::can_run;
use super::phantom::{Asker, Phantom, STEP, Told, Transfer};
use super::scenario::{add_and_flag, in_order, times};
use super::site::{Deadlines, PATIENT, serve_phantom};

const NEEDS: &[&[tools::Need]] = &[tools::NETWORK, tools::LOADERS];

type Done = Result<(), RackError>;

/// A flagged machine that goes all the way, in the order of DESIGN section 4; then it boots its own
/// disk; flagged again, it goes the same way once more.
#[test]
fn a_machine_becomes_ready_and_is_rebuilt() -> Done {
    if !can_run("a machine becomes ready", NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = serve_phantom(&rack, PATIENT)?;
    let machine = Phantom::new(&rack, "web01")?;
    server.must(&["add", "web01", &machine.mac().to_string(), "phantom"])?;
    assert_eq!(machine.boot()?, Told::OwnDisk, "not flagged yet");
    for build in 1..=2 {
        server.must(&["rebuild", "web01", "--yes"])?;
        assert_eq!(server.phase("web01")?, Phase::Armed);
        let installer = machine.start_installer()?;
        assert_eq!(server.phase("web01")?, Phase::Installing);
        machine.must_report(&installer, "start", "")?;
        let permitted = machine.must_report(&installer, "disks", &machine.disks())?;
        assert_eq!(permitted, "disk=/dev/vda\n");
        machine.must_report(&installer, "progress/extract", "half way")?;
        let handoff = machine.hand_off(&installer)?;
        machine.must_report(&installer, "end", "")?;
        assert_eq!(server.phase("web01")?, Phase::Installed);
        assert_eq!(machine.boot()?, Told::OwnDisk, "installed");
        machine
            .first_boot(&handoff, "ok")?
            .must_be(200, "the result")?;
        assert_eq!(server.phase("web01")?, Phase::Ready);
        assert_eq!(machine.boot()?, Told::OwnDisk, "ready");
        in_order(
            &server,
            "web01",
            build,
            &[
                "flagged",
                "boot-began",
                "leased",
                "script-served",
                "fetched",
                "answer-fetched",
                "installer-started",
                "write-permitted",
                "progress",
                "installer-ended",
                "handoff-redeemed",
                "agent-reported",
            ],
        );
        times(&server, "web01", build, "write-permitted", 1);
    }
    Ok(())
}

/// The installer never reports: its phase ends, the machine boots its own disk.
#[test]
fn silence_is_stalled() -> Done {
    if !can_run("silence is stalled", NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = serve_phantom(
        &rack,
        Deadlines {
            boot: "3s",
            ..PATIENT
        },
    )?;
    let machine = Phantom::new(&rack, "web01")?;
    add_and_flag(&server, "web01", machine.mac(), "phantom")?;
    assert!(matches!(machine.boot()?, Told::Script(_)));
    server.wait_phase("web01", &[Phase::Stalled], Patience::seconds(30), None)?;
    in_order(&server, "web01", 1, &["script-served", "deadline-passed"]);
    assert_eq!(machine.boot()?, Told::OwnDisk, "stalled");
    let why = server.must(&["why", "web01"])?;
    assert!(why.contains("stalled"), "{why}");
    Ok(())
}

/// The same in the phases after: each has its deadline.
#[test]
fn every_phase_ends() -> Done {
    if !can_run("every phase ends", NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = serve_phantom(
        &rack,
        Deadlines {
            boot: "10m",
            install: "3s",
            first_boot: "3s",
            configure: "3s",
        },
    )?;
    for (name, phase) in [
        ("installing", Phase::Installing),
        ("installed", Phase::Installed),
        ("configuring", Phase::Configuring),
    ] {
        let machine = Phantom::new(&rack, name)?;
        add_and_flag(&server, name, machine.mac(), "phantom")?;
        let installer = machine.start_installer()?;
        if phase != Phase::Installing {
            let handoff = machine.hand_off(&installer)?;
            machine.must_report(&installer, "end", "")?;
            if phase == Phase::Configuring {
                let key = "key=0123456789abcdef0123456789abcdef\n";
                machine
                    .http(&format!("{handoff}/bundle"), Some(key))?
                    .must_be(200, "bundle")?;
            }
        }
        assert_eq!(server.phase(name)?, phase);
        server.wait_phase(name, &[Phase::Stalled], Patience::seconds(30), None)?;
        assert_eq!(machine.boot()?, Told::OwnDisk, "stalled in {phase}");
    }
    Ok(())
}

/// The installer reports failure, or the agent does: Failed with the stage and the end of the log.
#[test]
fn a_failure_is_told_and_ends_it() -> Done {
    if !can_run("a failure is told", NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = serve_phantom(&rack, PATIENT)?;
    let machine = Phantom::new(&rack, "web01")?;
    add_and_flag(&server, "web01", machine.mac(), "phantom")?;
    let installer = machine.start_installer()?;
    machine.must_report(
        &installer,
        "fail/partition",
        "line one\nno room on /dev/vda",
    )?;
    let view = server.show("web01")?;
    assert_eq!(view.phase, Phase::Failed);
    let build = view.build.expect("a build");
    assert_eq!(build.stage.as_deref(), Some("partition"));
    assert!(
        build
            .reason
            .is_some_and(|r| r.contains("no room on /dev/vda"))
    );
    assert_eq!(machine.boot()?, Told::OwnDisk, "failed");
    assert_eq!(
        machine.report(&installer, "end", "")?.status,
        404,
        "a token dies with its phase"
    );

    let machine = Phantom::new(&rack, "web02")?;
    add_and_flag(&server, "web02", machine.mac(), "phantom")?;
    let installer = machine.start_installer()?;
    let handoff = machine.hand_off(&installer)?;
    machine.must_report(&installer, "end", "")?;
    machine
        .first_boot(&handoff, "failed")?
        .must_be(200, "the result")?;
    assert_eq!(server.phase("web02")?, Phase::Failed);
    assert_eq!(machine.boot()?, Told::OwnDisk, "its agent failed");
    Ok(())
}

/// No disk matches, or it holds what may not be destroyed: nothing is written, and it says why.
#[test]
fn a_disk_that_may_not_be_written_stops_it() -> Done {
    if !can_run("a disk that may not be written", NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = serve_phantom(&rack, PATIENT)?;
    let machine = Phantom::new(&rack, "web01")?;
    add_and_flag(&server, "web01", machine.mac(), "phantom")?;
    let installer = machine.start_installer()?;
    let two = "path=/dev/vda size=4294967296\npath=/dev/vdb size=4294967296\n";
    let reply = machine.report(&installer, "disks", two)?;
    assert_eq!(reply.status, 409, "{}", reply.text());
    assert!(reply.text().contains("/dev/vdb"), "{}", reply.text());
    assert_eq!(server.phase("web01")?, Phase::Failed);
    times(&server, "web01", 1, "write-permitted", 0);
    Ok(())
}

/// Power cuts: while booting it is retried, while installing before a write it is retried, after a
/// write it is held and its disk is not written a second time.
#[test]
fn power_cuts() -> Done {
    if !can_run("power cuts", NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = serve_phantom(&rack, PATIENT)?;
    let machine = Phantom::new(&rack, "booting")?;
    add_and_flag(&server, "booting", machine.mac(), "phantom")?;
    assert!(matches!(machine.boot()?, Told::Script(_)), "boot 1 of 2");
    later_boot();
    assert!(matches!(machine.boot()?, Told::Script(_)), "boot 2 of 2");
    later_boot();
    assert_eq!(machine.boot()?, Told::OwnDisk, "spent");
    assert_eq!(server.phase("booting")?, Phase::Held);

    let machine = Phantom::new(&rack, "written")?;
    add_and_flag(&server, "written", machine.mac(), "phantom")?;
    let installer = machine.start_installer()?;
    machine.must_report(&installer, "disks", &machine.disks())?;
    later_boot();
    assert_eq!(machine.boot()?, Told::OwnDisk, "cut off in mid-write");
    assert_eq!(server.phase("written")?, Phase::Held);
    times(&server, "written", 1, "write-permitted", 1);
    let why = server.must(&["why", "written"])?;
    assert!(why.contains("/dev/vda"), "{why}");

    let machine = Phantom::new(&rack, "allowed")?;
    server.must(&["add", "allowed", &machine.mac().to_string(), "phantom"])?;
    server.must(&["rebuild", "allowed", "--yes", "--retry-after-write"])?;
    let installer = machine.start_installer()?;
    machine.must_report(&installer, "disks", &machine.disks())?;
    later_boot();
    assert!(
        matches!(machine.boot()?, Told::Script(_)),
        "allowed to write again"
    );
    Ok(())
}

/// A ROM asks twice within one boot; a boot some seconds later is another. This is the one wait of
/// the suite that is not for something to be seen: the time between two boots is what is tested.
pub(super) fn later_boot() {
    std::thread::sleep(std::time::Duration::from_secs(9));
}

/// The server is killed with -9 in each phase and started again: nothing acknowledged is lost, the
/// same tokens open the same doors, and the build goes on to its end.
#[test]
fn killed_in_every_phase() -> Done {
    if !can_run("killed in every phase", NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let mut server = serve_phantom(&rack, PATIENT)?;
    let machine = Phantom::new(&rack, "web01")?;
    let again = |server: &mut farrier::cli::demo::rack::Server, phase: Phase| -> Done {
        server.kill();
        server.up()?;
        assert_eq!(server.phase("web01")?, phase, "{}", server.tail());
        Ok(())
    };
    server.must(&["add", "web01", &machine.mac().to_string(), "phantom"])?;
    again(&mut server, Phase::Idle)?;
    server.must(&["rebuild", "web01", "--yes"])?;
    again(&mut server, Phase::Armed)?;
    let Told::Script(script) = machine.boot()? else {
        panic!("not told to install: {}", server.evidence("web01", None));
    };
    again(&mut server, Phase::Booting)?;
    machine.fetch_kernel(&script)?;
    let installer = machine.installer(&script)?;
    again(&mut server, Phase::Installing)?;
    machine.must_report(&installer, "disks", &machine.disks())?;
    again(&mut server, Phase::Installing)?;
    times(&server, "web01", 1, "write-permitted", 1);
    let url = machine.hand_off(&installer)?;
    machine.must_report(&installer, "end", "")?;
    again(&mut server, Phase::Installed)?;
    let key = "key=0123456789abcdef0123456789abcdef\n";
    machine
        .http(&format!("{url}/bundle"), Some(key))?
        .must_be(200, "bundle")?;
    again(&mut server, Phase::Configuring)?;
    machine.first_boot(&url, "ok")?.must_be(200, "the result")?;
    again(&mut server, Phase::Ready)?;
    assert_eq!(machine.boot()?, Told::OwnDisk, "ready");
    in_order(
        &server,
        "web01",
        1,
        &[
            "flagged",
            "script-served",
            "answer-fetched",
            "write-permitted",
            "installer-ended",
            "handoff-redeemed",
            "agent-reported",
        ],
    );
    Ok(())
}

/// A machine that nobody declared gets no answer at all, on any door.
#[test]
fn a_stranger_hears_nothing() -> Done {
    if !can_run("a stranger hears nothing", NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = serve_phantom(&rack, PATIENT)?;
    let stranger = Phantom::new(&rack, "stranger")?;
    assert_eq!(stranger.boot()?, Told::Nothing);
    assert_eq!(stranger.boot_as(Asker::Uefi)?, Told::Nothing);
    let why = server.must(&["why", &stranger.mac().to_string()])?;
    assert!(why.contains("no declared system"), "{why}");
    Ok(())
}

/// A declared machine asks for what belongs to another: 404, or nothing.
#[test]
fn a_neighbour_gets_nothing_of_anothers() -> Done {
    if !can_run("a neighbour gets nothing", NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = serve_phantom(&rack, PATIENT)?;
    let victim = Phantom::new(&rack, "victim")?;
    let thief = Phantom::new(&rack, "thief")?;
    server.must(&["add", "thief", &thief.mac().to_string(), "phantom"])?;
    add_and_flag(&server, "victim", victim.mac(), "phantom")?;
    assert_eq!(thief.boot()?, Told::OwnDisk);
    let script = format!("http://10.77.0.1/ipxe/{}", victim.mac().dashed());
    let reply = thief.http(&script, None)?;
    assert!(!reply.text().contains("\nkernel "), "{}", reply.text());
    assert_eq!(
        server.phase("victim")?,
        Phase::Armed,
        "a neighbour used up its flag"
    );
    let installer = victim.start_installer()?;
    for (url, body) in [
        (installer.answers().to_string(), None),
        (format!("{}/end", installer.report_url()), Some("")),
        (format!("{}/fail/x", installer.report_url()), Some("x")),
    ] {
        let reply = thief.http(&url, body)?;
        assert_eq!(reply.status, 404, "{url}: {}", reply.text());
    }
    let config = format!("grub/grub.cfg-01-{}", victim.mac().dashed());
    match thief.tftp(farrier::cli::demo::rack::SERVER, &config)? {
        Transfer::File(text) => {
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(!text.contains("answers="), "{text}");
        }
        Transfer::Refused { .. } | Transfer::Silence => {}
    }
    assert_eq!(server.phase("victim")?, Phase::Installing);
    let _ = STEP;
    Ok(())
}

/// Cancelled at any time, a build is over and its tokens are dead.
#[test]
fn cancelling_ends_it() -> Done {
    if !can_run("cancelling ends it", NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = serve_phantom(&rack, PATIENT)?;
    let machine = Phantom::new(&rack, "web01")?;
    add_and_flag(&server, "web01", machine.mac(), "phantom")?;
    server.must(&["cancel", "web01", "--yes"])?;
    assert_eq!(server.phase("web01")?, Phase::Idle);
    assert_eq!(machine.boot()?, Told::OwnDisk);
    server.must(&["rebuild", "web01", "--yes"])?;
    let installer = machine.start_installer()?;
    server.must(&["cancel", "web01", "--yes"])?;
    assert_eq!(machine.report(&installer, "end", "")?.status, 404);
    assert_eq!(machine.boot()?, Told::OwnDisk);
    Ok(())
}
