//! The Windows profile's own scripts, run by Wine's cmd.exe and cscript.exe: neither Windows nor Windows PE
//! is to be had here. What Wine has not, or what would do something, is a stand-in that asks the test.
//!
//! curl.exe is another such stand-in, for this host's curl; `FARRIER_TEST_CURL` names a real one, which
//! speaks TLS by Wine's SChannel.

mod wine;

use farrier::lifecycle::disks;
use farrier::render::{Place, Rendered, render};

use super::server::Server;
use super::site::{distro_of, shipped};
use super::tier3::{machine, text};
use wine::{Call, Plan, Wine};

fn rendered(place: &Place) -> Rendered {
    let profile = shipped("windows");
    let system = machine("windows", "vars = { image = 4 }\n");
    render(&system, &profile, &distro_of(&profile), place).expect("rendered")
}

/// What WMI says of three disks: Wine has WMI, but no way from a script to it.
const WMI: &str = include_str!("windows/wmi.js");

fn words(calls: &[Call]) -> Vec<String> {
    calls
        .iter()
        .map(|c| {
            format!("{} {}", c.program, c.words.join(" "))
                .trim()
                .to_string()
        })
        .collect()
}

/// Runs start.cmd in Windows PE, as wimboot would have laid it out.
fn installs(
    wine: &Wine,
    permit: (u16, &'static str),
    failing: &[&'static str],
) -> (Server, Rendered, Vec<String>) {
    let (server, sent) = Server::of(rendered, move |path, _, _| match path.ends_with("/disks") {
        true => (permit.0, permit.1.to_string()),
        false => (200, String::new()),
    });
    wine.drive('x');
    wine.drive('w');
    for program in ["wpeinit", "wpeutil", "diskpart", "dism", "bcdboot"] {
        wine.stub(&format!("x:/Windows/System32/{program}.exe"));
    }
    wine.curl("x:/Windows/System32/curl.exe");
    // Wine's cscript knows no other language, and no switch that names one
    let start = text(&sent, "start.cmd").replace(" //e:jscript ", " ");
    wine.put("x:/Windows/System32/start.cmd", start.as_bytes());
    wine.put(
        "x:/Windows/System32/layout.txt",
        &sent.documents["layout.txt"].bytes,
    );
    let script = WMI.to_string() + &text(&sent, "disks.js");
    wine.put("x:/Windows/System32/disks.js", script.as_bytes());
    wine.plan(Plan {
        failing: failing.to_vec(),
        cut_at: None,
    });
    let said = wine.script(&["X:\\Windows\\System32\\start.cmd"]);
    eprintln!("{said}");
    let called = words(&wine.calls());
    (server, sent, called)
}

#[test]
fn windows_pe_writes_the_permitted_disk_and_no_other() {
    let Some(wine) = Wine::new() else { return };
    let (server, sent, called) = installs(&wine, (200, "disk=/dev/disk1\r\n"), &[]);
    assert_eq!(
        server.reports(),
        [
            "start",
            "disks",
            "progress/partition",
            "progress/extract",
            "progress/bootloader",
            "progress/configure",
            "end"
        ]
    );
    let reported = disks::parse(&server.told("disks")[0]).expect("a report");
    let short = |d: &disks::ReportedDisk| {
        let contents = d.contents.join(",");
        format!(
            "{} {} [{}] [{}] {} {} {contents}",
            d.path, d.size, d.serial, d.model, d.bus, d.removable
        )
    };
    assert_eq!(
        reported.iter().map(short).collect::<Vec<_>>(),
        [
            "/dev/disk0 8000000000 [] [A stick] usb true ",
            "/dev/disk1 64000000000 [S 1%] [QEMU HARDDISK] scsi false gpt,ntfs,unknown",
            "/dev/disk2 1000 [S2] []  false dos,unknown",
        ]
    );
    assert_eq!(
        called,
        [
            "wpeinit",
            "wpeutil InitializeNetwork",
            "wpeutil WaitForNetwork",
            "diskpart /s layout.all",
            "dism /Apply-Image /ImageFile:W:\\install.wim /Index:4 /ApplyDir:W:\\ /CheckIntegrity",
            "bcdboot W:\\Windows /s S: /f BIOS",
            "wpeutil reboot",
        ]
    );
    let read = |path: &str| wine.read(path).map(|b| String::from_utf8(b).expect("text"));
    let layout = read("x:/Windows/System32/layout.all").expect("made");
    assert_eq!(
        layout.split_once("\r\n"),
        Some(("select disk 1", text(&sent, "layout.txt").as_str()))
    );
    for (at, name) in [
        ("Windows/Panther/unattend.xml", "unattend.xml"),
        (
            "Windows/Setup/Scripts/SetupComplete.cmd",
            "SetupComplete.cmd",
        ),
        ("Farrier/ca.crt", "farrier-ca.crt"),
        (
            "ProgramData/ssh/administrators_authorized_keys",
            "authorized_keys",
        ),
    ] {
        assert_eq!(read(&format!("w:/{at}")), Some(text(&sent, name)), "{at}");
    }
    assert_eq!(
        wine.read("w:/install.wim"),
        None,
        "what was applied is not kept"
    );
    assert_eq!(
        wine.read("w:/Farrier/curl.exe"),
        wine.read("x:/Windows/System32/curl.exe")
    );

    for (permit, why) in [
        ((409, ""), "no disk may be written, HTTP status 409"),
        ((200, "wait=1\n"), "the permit names no disk"),
    ] {
        let (server, _, called) = installs(&wine, permit, &[]);
        assert_eq!(
            server.reports(),
            ["start", "disks", "fail/install"],
            "{why}"
        );
        assert_eq!(server.told("fail/install"), [why]);
        assert_eq!(called[3..], ["wpeutil reboot"], "{why}");
    }
    for (program, last, why) in [
        ("diskpart", "progress/partition", "diskpart failed"),
        ("dism", "progress/extract", "dism failed"),
        ("bcdboot", "progress/bootloader", "bcdboot failed"),
    ] {
        let (server, _, called) = installs(&wine, (200, "disk=/dev/disk1\n"), &[program]);
        let reports = server.reports();
        assert_eq!(
            reports[reports.len() - 3..],
            [last, "bundle", "fail/install"],
            "{why}"
        );
        assert_eq!(server.told("fail/install"), [why]);
        assert!(
            server.told("bundle")[0].contains(&format!("{program} says so")),
            "{:?}",
            server.told("bundle")
        );
        assert_eq!(called.last().map(String::as_str), Some("wpeutil reboot"));
    }
}

/// Windows as setup leaves it.
fn installed(wine: &Wine, server: &Server, sent: &Rendered) {
    wine.curl("c:/Farrier/curl.exe");
    wine.put("c:/Farrier/ca.crt", server.authority().as_bytes());
    wine.put("c:/windows/Panther/unattend.xml", b"<unattend/>");
    wine.put(
        "c:/windows/Setup/Scripts/SetupComplete.cmd",
        &sent.documents["SetupComplete.cmd"].bytes,
    );
}

fn gone(wine: &Wine, called: &[String], said: &str) {
    for path in [
        "c:/windows/Panther/unattend.xml",
        "c:/windows/Setup/Scripts/SetupComplete.cmd",
    ] {
        assert!(!wine.path(path).exists(), "{path}");
    }
    // Wine has a script open while it runs, and a folder is not empty before it is closed
    let left = std::fs::read_dir(wine.path("c:/Farrier")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "nothing is left below C:\\Farrier");
    assert_eq!(
        called.last().map(String::as_str),
        Some("schtasks /Delete /F /TN Farrier"),
        "{called:?} {said}"
    );
}

const TASK: &[&str] = &["C:\\Farrier\\first-boot.cmd", "task"];

#[test]
fn the_first_boot_of_windows_is_reported_whatever_happens_to_it() {
    let Some(wine) = Wine::new() else { return };
    let (server, sent) = Server::handing_off(rendered, |verb, before| match verb {
        "handoff" if before < 2 => 0,
        "bundle" if before < 8 => 503,
        "result" if before == 0 => 0,
        _ => 200,
    });
    installed(&wine, &server, &sent);
    let said = wine.script(&["C:\\windows\\Setup\\Scripts\\SetupComplete.cmd"]);
    let called = words(&wine.calls());
    assert_eq!(
        server.asked(),
        Vec::<String>::new(),
        "setup does not wait for it: {said}"
    );
    assert_eq!(
        called,
        [
            "dism /Online /Add-Capability /CapabilityName:OpenSSH.Server~~~~0.0.1.0 /NoRestart",
            "icacls C:\\Farrier /inheritance:r /grant *S-1-5-18:(OI)(CI)F /grant *S-1-5-32-544:(OI)(CI)F",
            "schtasks /Create /F /TN Farrier /SC ONSTART /RU SYSTEM /RL HIGHEST /TR C:\\Farrier\\first-boot.cmd task",
            "schtasks /Run /TN Farrier",
        ]
    );

    // the server is down at first, and the first result is not answered
    let said = wine.script(TASK);
    let called = words(&wine.calls());
    let times = |verb: &str| server.asked().iter().filter(|v| *v == verb).count();
    assert_eq!(
        (times("handoff"), times("bundle"), times("result")),
        (3, 9, 2),
        "{said}"
    );
    let seconds: Vec<String> = called
        .iter()
        .filter_map(|c| c.strip_prefix("ping -n ").map(str::to_string))
        .collect();
    let waits = [2, 3, 5, 9, 17, 33, 61, 61, 61, 61, 61].map(|s| format!("{s} 127.0.0.1"));
    assert_eq!(seconds, waits, "1, 2, 4 .. 60 seconds");
    gone(&wine, &called, &said);
    let keys = server.bodies("/h/secret/bundle");
    assert!(
        keys.iter().all(|k| k == &keys[0] && k.len() >= 12),
        "{keys:?}"
    );
    assert_eq!(
        server.bodies("/h/secret/result"),
        ["agent=none code=0 class=ok seconds=0"; 2]
    );

    // the power is cut while something was not answered, and the next boot goes on from there
    for (cut_after, then) in [
        ("handoff", "bundle"),
        ("bundle", "result"),
        ("result", "result"),
    ] {
        let (server, sent) = Server::handing_off(rendered, move |verb, before| {
            let down = match cut_after {
                "handoff" => verb == "bundle" && before == 0,
                "bundle" => verb == "result" && before == 0,
                _ => verb == "result" && before < 2,
            };
            if down { 503 } else { 200 }
        });
        installed(&wine, &server, &sent);
        wine.script(&["C:\\windows\\Setup\\Scripts\\SetupComplete.cmd"]);
        wine.plan(Plan {
            cut_at: Some("ping"),
            ..Plan::default()
        });
        wine.script(TASK);
        let before = server.asked().len();
        wine.plan(Plan::default());
        wine.calls();
        let said = wine.script(TASK);
        assert_eq!(
            server.asked()[before..].first().map(String::as_str),
            Some(then),
            "{cut_after}: {said}"
        );
        let times = |verb: &str| server.asked().iter().filter(|v| *v == verb).count();
        assert_eq!(times("handoff"), 1, "{cut_after}");
        let keys = server.bodies("/h/secret/bundle");
        assert!(keys.iter().all(|k| k == &keys[0]), "{keys:?}");
        gone(&wine, &words(&wine.calls()), &said);
    }
}

#[test]
fn what_is_refused_to_windows_is_not_asked_again() {
    let Some(wine) = Wine::new() else { return };
    for (refusing, status) in [("handoff", 404), ("bundle", 410), ("result", 409)] {
        let (server, sent) =
            Server::handing_off(
                rendered,
                move |verb, _| if verb == refusing { status } else { 200 },
            );
        installed(&wine, &server, &sent);
        wine.script(&["C:\\windows\\Setup\\Scripts\\SetupComplete.cmd"]);
        let said = wine.script(TASK);
        let asked = server.asked();
        assert_eq!(asked.last().map(String::as_str), Some(refusing), "{said}");
        assert_eq!(asked.iter().filter(|v| *v == refusing).count(), 1, "{said}");
        gone(&wine, &words(&wine.calls()), &said);
    }
}
