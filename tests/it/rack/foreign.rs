//! Another host on the same network, where Farrier hands out no addresses; and a server that is not
//! there when an installer ends.

use farrier::cli::demo::rack::{Rack, RackError, SERVER, Server, tools};
use farrier::model::Phase;

use super::can_run;
use super::phantom::{Phantom, Told};
use super::scenario::{add_and_flag, in_order, times};
use super::site::{PATIENT, phantom, serve_phantom};

const NEEDS: &[&[tools::Need]] = &[tools::NETWORK, tools::LOADERS];

type Done = Result<(), RackError>;

/// In proxy and off mode: what belongs to one machine is 404 for another, on every path, in every
/// phase; it neither uses up a flag nor holds a build.
#[test]
fn a_host_with_a_foreign_address_gets_nothing() -> Done {
    if !can_run("a host with a foreign address", NEEDS, false) {
        return Ok(());
    }
    for mode in ["proxy", "off"] {
        let rack = Rack::new()?;
        let settings = phantom(&rack, PATIENT, "")?;
        let file = settings.site.join("farrier.toml");
        let text = std::fs::read_to_string(&file).map_err(RackError::file(&file))?;
        let text = text.replace("\"full\"", &format!("\"{mode}\""));
        std::fs::write(&file, text).map_err(RackError::file(&file))?;
        let server = Server::start(&rack, settings)?;
        server.must(&["distro", "fetch", "phantom"])?;
        let victim = Phantom::new(&rack, "victim")?;
        let thief = Phantom::new(&rack, "thief")?;
        let stranger = Phantom::new(&rack, "stranger")?;
        victim.host.address("10.77.0.50/24")?;
        thief.host.address("10.77.0.51/24")?;
        stranger.host.address("10.77.0.52/24")?;
        server.must(&["add", "thief", &thief.mac().to_string(), "phantom"])?;
        add_and_flag(&server, "victim", victim.mac(), "phantom")?;
        let script = format!("http://{SERVER}/ipxe/{}", victim.mac().dashed());
        let refused = |phase: Phase| -> Done {
            for other in [&thief, &stranger] {
                assert_eq!(other.http(&script, None)?.status, 404, "{mode}, {phase}");
            }
            assert_eq!(server.phase("victim")?, phase, "{mode}");
            Ok(())
        };
        refused(Phase::Armed)?;
        let text = victim.script(&script)?;
        assert!(text.contains("\nkernel "), "{mode}: {text}");
        refused(Phase::Booting)?;
        victim.fetch_kernel(&text)?;
        let answers = text
            .split_whitespace()
            .find_map(|w| w.strip_prefix("answers="));
        let answers = answers.expect("a command line");
        for other in [&thief, &stranger] {
            assert_eq!(other.http(answers, None)?.status, 404, "{mode}");
        }
        let installer = victim.installer_at(answers)?;
        victim.must_report(&installer, "disks", &victim.disks())?;
        refused(Phase::Installing)?;
        let url = victim.hand_off(&installer)?;
        victim.must_report(&installer, "end", "")?;
        let key = "key=ffffffffffffffffffffffffffffffff\n";
        for other in [&thief, &stranger] {
            other.pin(&victim.pinned().expect("an authority"));
            let got = other.http(&format!("{url}/bundle"), Some(key))?;
            assert_eq!(got.status, 404, "{mode}");
        }
        // The installed system has another address of the other server's; it is still this machine.
        victim.host.no_address()?;
        victim.host.address("10.77.0.60/24")?;
        victim.first_boot(&url, "ok")?.must_be(200, "the result")?;
        assert_eq!(server.phase("victim")?, Phase::Ready, "{mode}");
        times(&server, "victim", 1, "script-served", 1);
    }
    Ok(())
}

/// The server is killed before the installer's end and comes back after its machine has restarted:
/// the hand-off is still taken, and the end that nobody heard is recorded as such.
#[test]
fn a_server_that_is_down_at_the_end_loses_no_build() -> Done {
    if !can_run("a server that is down at the end", NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let mut server = serve_phantom(&rack, PATIENT)?;
    for (name, boots_by_network) in [("web01", false), ("web02", true)] {
        let machine = Phantom::new(&rack, name)?;
        add_and_flag(&server, name, machine.mac(), "phantom")?;
        let installer = machine.start_installer()?;
        machine.must_report(&installer, "disks", &machine.disks())?;
        let url = machine.hand_off(&installer)?;
        server.kill();
        assert!(machine.report(&installer, "end", "").is_err(), "it is down");
        server.up()?;
        assert_eq!(server.phase(name)?, Phase::Installing);
        if boots_by_network {
            // The server is back before the machine's firmware asks: it looks like a power cut.
            super::failures::later_boot();
            assert_eq!(machine.boot()?, Told::OwnDisk);
            assert_eq!(server.phase(name)?, Phase::Held);
        }
        machine.first_boot(&url, "ok")?.must_be(200, "the result")?;
        assert_eq!(server.phase(name)?, Phase::Ready);
        in_order(
            &server,
            name,
            1,
            &[
                "write-permitted",
                "handoff-asked",
                "end-implied",
                "handoff-redeemed",
                "agent-reported",
            ],
        );
        times(&server, name, 1, "installer-ended", 0);
    }
    Ok(())
}
