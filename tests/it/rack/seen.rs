//! What is seen of machines: steps of silent installers, their logs, their keys, and machines that
//! nobody declared.

use std::net::{TcpStream, UdpSocket};

use farrier::cli::demo::rack::{Rack, RackError, SERVER, Server, tools, until};
use farrier::model::LogLine;
use farrier::model::Phase;
use farrier::model::view::{DiscoveredView, ShowView};

use super::can_run;
use super::phantom::{Asker, Phantom, STEP, Told};
use super::scenario::{add_and_flag, kinds};
use super::site::{PATIENT, phantom, serve_phantom};

const NEEDS: &[&[tools::Need]] = &[tools::NETWORK, tools::LOADERS];

type Done = Result<(), RackError>;

fn json<T: serde::de::DeserializeOwned>(server: &Server, words: &[&str]) -> Result<T, RackError> {
    let mut all = words.to_vec();
    all.extend(["-o", "json"]);
    let text = server.must(&all)?;
    Ok(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
}

/// The step of a machine that says nothing itself, as `ls` shows it; and its log, by UDP and TCP, in
/// every DHCP mode.
#[test]
fn a_silent_installer_is_seen_and_heard() -> Done {
    if !can_run("a silent installer is seen", NEEDS, false) {
        return Ok(());
    }
    for mode in ["full", "off"] {
        let rack = Rack::new()?;
        let settings = phantom(&rack, PATIENT, "")?;
        let file = settings.site.join("farrier.toml");
        let text = std::fs::read_to_string(&file).map_err(RackError::file(&file))?;
        let text = text.replace("\"full\"", &format!("\"{mode}\""));
        std::fs::write(&file, text).map_err(RackError::file(&file))?;
        let server = Server::start(&rack, settings)?;
        server.must(&["distro", "fetch", "phantom"])?;
        let machine = Phantom::new(&rack, "web01")?;
        let other = Phantom::new(&rack, "other")?;
        add_and_flag(&server, "web01", machine.mac(), "phantom")?;
        let script = if mode == "full" {
            match machine.boot()? {
                Told::Script(script) => script,
                told => panic!("{told:?}"),
            }
        } else {
            machine.host.address("10.77.0.50/24")?;
            let url = format!("http://{SERVER}/ipxe/{}", machine.mac().dashed());
            machine.script(&url)?
        };
        other.host.address("10.77.0.51/24")?;
        machine.fetch_kernel(&script)?;
        let observed = |wanted: &str| {
            until(
                "the step that was seen",
                STEP,
                || server.evidence("web01", None),
                || {
                    let build = server.show("web01")?.build.expect("a build");
                    Ok((build.observed.as_deref() == Some(wanted)).then_some(()))
                },
            )
        };
        observed("initrd")?;
        let table = server.must(&["ls", "web01"])?;
        assert!(table.contains("[initrd]"), "{table}");
        let send = |from: &Phantom, line: &str| {
            from.host.namespace().inside(|| -> std::io::Result<()> {
                let socket = UdpSocket::bind("0.0.0.0:0")?;
                socket.send_to(format!("<13>{line}").as_bytes(), (SERVER, 514))?;
                let mut stream = TcpStream::connect((SERVER, 514))?;
                std::io::Write::write_all(&mut stream, format!("<13>{line} by tcp\n").as_bytes())
            })
        };
        send(&other, "not yours")?.expect("sent");
        send(
            &machine,
            "main-menu[1]: INFO: Menu item 'partman-base' selected",
        )?
        .expect("sent");
        observed("partition")?;
        let page = until(
            "its log",
            STEP,
            || server.evidence("web01", None),
            || {
                let page: Vec<LogLine> = json(&server, &["logs", "web01", "--grep", "PARTMAN"])?;
                Ok((page.len() == 2).then_some(page))
            },
        )?;
        assert!(page.iter().all(|l| l.source == "syslog"), "{page:?}");
        assert_eq!(
            server.phase("web01")?,
            Phase::Booting,
            "a line moves nothing"
        );
        let answers = script
            .split_whitespace()
            .find_map(|w| w.strip_prefix("answers="));
        let installer = machine.installer_at(answers.expect("a command line"))?;
        machine.must_report(&installer, "log", "a line of the report\n")?;
        let all: Vec<LogLine> = json(&server, &["logs", "web01"])?;
        let texts: Vec<&str> = all.iter().map(|l| l.text.as_str()).collect();
        assert!(texts.contains(&"a line of the report"), "{texts:?}");
        assert!(!texts.iter().any(|t| t.contains("not yours")), "{texts:?}");
        let events = server.events("web01")?;
        assert!(kinds(&events, 1).contains(&"fetched"), "{mode}");
    }
    Ok(())
}

/// The keys that a first boot reports are shown, so that whoever logs in can compare them.
#[test]
fn host_keys_are_shown() -> Done {
    if !can_run("host keys are shown", NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = serve_phantom(&rack, PATIENT)?;
    let machine = Phantom::new(&rack, "web01")?;
    add_and_flag(&server, "web01", machine.mac(), "phantom")?;
    let installer = machine.start_installer()?;
    let url = machine.hand_off(&installer)?;
    machine.must_report(&installer, "end", "")?;
    let key = "key=0123456789abcdef0123456789abcdef\n";
    machine
        .http(&format!("{url}/bundle"), Some(key))?
        .must_be(200, "bundle")?;
    let result = "agent=steps\ncode=0\nclass=ok\nseconds=1\nhostkey=ssh-ed25519 AAAAC3 root@web01\n\nthe last words\n";
    machine
        .http(&format!("{url}/result"), Some(result))?
        .must_be(200, "result")?;
    let view: ShowView = json(&server, &["show", "web01"])?;
    assert_eq!(view.host_keys, ["ssh-ed25519 AAAAC3 root@web01"]);
    let text = server.must(&["show", "web01"])?;
    assert!(
        text.contains("host key   ssh-ed25519 AAAAC3 root@web01"),
        "{text}"
    );
    let logs: Vec<LogLine> = json(&server, &["logs", "web01"])?;
    let last = logs.last().expect("a line");
    assert_eq!(
        (last.source.as_str(), last.text.as_str()),
        ("first-boot", "the last words")
    );
    Ok(())
}

/// Machines that nobody declared are listed if the site wants it, also after a restart, until one is
/// adopted.
#[test]
fn strangers_are_listed_and_adopted() -> Done {
    if !can_run("strangers are listed", NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let settings = phantom(&rack, PATIENT, "[unknown]\naction = \"discover\"\n")?;
    let mut server = Server::start(&rack, settings)?;
    let stranger = Phantom::new(&rack, "stranger")?;
    let mac = stranger.mac().to_string();
    let refused = server.farrier(&["adopt", &mac, "web01", "phantom"])?;
    assert!(!refused.ok(), "it was not seen yet");
    stranger
        .dhcp(Asker::Uefi)?
        .expect("an address, and no boot data");
    let listed = |server: &Server| -> Result<Vec<DiscoveredView>, RackError> {
        json(server, &["discovered", "ls"])
    };
    let [machine] = &listed(&server)?[..] else {
        panic!("{}", server.must(&["discovered", "ls"])?)
    };
    assert_eq!(machine.mac, stranger.mac());
    assert_eq!(machine.firmware.as_deref(), Some("uefi"));
    // Stored twice a second; killed, it comes back with what was stored.
    let table = server.must(&["discovered", "ls", "-o", "name"])?;
    assert_eq!(table.trim(), mac);
    let stored = server.state().join("farrier.db-wal");
    until("a write", STEP, String::new, || {
        let bytes = std::fs::read(&stored).map_err(RackError::file(&stored))?;
        Ok(bytes.windows(10).any(|w| w == b"first_seen").then_some(()))
    })?;
    server.kill();
    server.up()?;
    assert_eq!(listed(&server)?.len(), 1, "after a restart");
    server.must(&["adopt", &mac, "web01", "phantom"])?;
    assert_eq!(server.show("web01")?.macs, [stranger.mac()]);
    assert_eq!(listed(&server)?, [], "it is declared now");
    Ok(())
}
