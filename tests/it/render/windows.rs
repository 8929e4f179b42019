//! The Windows profile's own scripts, run by Wine's cmd.exe and cscript.exe: neither Windows nor Windows PE
//! is to be had here. What Wine has not, or what would do something, is a stand-in that asks the test.
//!
//! curl.exe is another such stand-in, for this host's curl; `FARRIER_TEST_CURL` names a real one, which
//! speaks TLS by Wine's SChannel.

mod wine;

use farrier::lifecycle::disks;
use farrier::model::Firmware;
use farrier::render::{Place, Rendered, render};

use super::server::Server;
use super::site::{distro_of, shipped};
use super::tier3::{machine, text};
use wine::{Call, Plan, Wine};

fn rendered(place: &Place) -> Rendered {
    of(place, "vars = { image = 4 }\n")
}

fn of(place: &Place, lines: &str) -> Rendered {
    let profile = shipped("windows");
    let system = machine("windows", lines);
    render(&system, &profile, &distro_of(&profile), place).expect("rendered")
}

/// What WMI says of six disks: Wine has WMI, but no way from a script to it.
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

/// What diskpart says of the disks that have a size, in the German of its medium.
const DETAIL: &str = "\r\nDatentr\u{84}ger 0 ist jetzt der derzeit gew\u{84}hlte Datentr\u{84}ger.\r\n\r\n\
    A stick\r\nDatentr\u{84}ger-ID: 00000000\r\nTyp    : USB\r\nStatus : Online\r\nPfad   : 0\r\n\r\n\
    QEMU HARDDISK\r\nDatentr\u{84}ger-ID: {6BCFC84A-7979-42D8-B047-B5E2E6A8644A}\r\nTyp    : SATA\r\nLUN-ID : 0\r\n\r\n\
    ?\r\nDatentr\u{84}ger-ID: 5E27161A\r\nTyp    : UNKNOWN\r\n\r\n\
    A LUN\r\nDatentr\u{84}ger-ID: 00000000\r\nTyp    : FIBRE\r\n\r\n\
    An NVMe\r\nDatentr\u{84}ger-ID: {6BCFC84A-7979-42D8-B047-B5E2E6A8644B}\r\nTyp    : NVMe\r\n";

/// A machine that starts Windows PE.
#[derive(Clone, Copy)]
struct Machine {
    /// What its answers are rendered for.
    firmware: Firmware,
    /// What it was started by.
    started_by: &'static str,
    /// Its boot.wim has the classes of storage management.
    storage: bool,
    /// What its diskpart says of the disks.
    detail: &'static str,
    lines: &'static str,
}

const BIOS: Machine = Machine {
    firmware: Firmware::BIOS,
    started_by: "1",
    storage: false,
    detail: DETAIL,
    lines: "vars = { image = 4 }\n",
};

/// Runs start.cmd in Windows PE, as wimboot would have laid it out.
fn installs(
    wine: &Wine,
    machine: Machine,
    permit: (u16, &'static str),
    failing: &[&'static str],
) -> (Server, Rendered, Vec<String>) {
    let rendered = |place: &Place| {
        let mut place = place.clone();
        place.firmware = Some(machine.firmware);
        of(&place, machine.lines)
    };
    let (server, sent) = Server::of(rendered, move |path, _, _| match path.ends_with("/disks") {
        true => (permit.0, permit.1.to_string()),
        false => (200, String::new()),
    });
    wine.started_by(machine.started_by);
    wine.drive('x');
    wine.drive('w');
    for program in [
        "wpeinit", "wpeutil", "diskpart", "dism", "bcdboot", "bcdedit",
    ] {
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
    let storage = format!("var STORAGE = {};\n", machine.storage);
    let script = storage + WMI + &text(&sent, "disks.js");
    wine.put("x:/Windows/System32/disks.js", script.as_bytes());
    wine.put(
        "x:/Windows/System32/boot-order.js",
        &sent.documents["boot-order.js"].bytes,
    );
    wine.plan(Plan {
        failing: failing.to_vec(),
        cut_at: None,
        says: vec![("detail.txt", machine.detail), ("/enum", ENTRIES)],
    });
    let said = wine.script(&["X:\\Windows\\System32\\start.cmd"]);
    eprintln!("{said}");
    let called = words(&wine.calls());
    (server, sent, called)
}

#[test]
fn windows_pe_writes_the_permitted_disk_and_no_other() {
    let Some(wine) = Wine::new() else { return };
    let (server, sent, called) = installs(&wine, BIOS, (200, "disk=/dev/disk1\r\n"), &[]);
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
    assert_eq!(
        reported(&server),
        [
            "/dev/disk0 8000000000 [] [A stick] [] usb true unknown",
            "/dev/disk1 64000000000 [S 1%] [QEMU HARDDISK] [] sata false gpt,ntfs,unknown",
            "/dev/disk2 1000 [S2] [] [] untold false dos,unknown",
            "/dev/disk4 64000000000 [S4] [A LUN] [] fc false unknown",
            "/dev/disk5 64000000000 [] [An NVMe] [eui.ace42e6190007804] nvme false gpt,ntfs",
        ],
        "a disk that nobody could read is not blank, and a reader without a card is none"
    );
    assert_eq!(
        called,
        [
            "wpeinit",
            "wpeutil InitializeNetwork",
            "wpeutil WaitForNetwork",
            "wpeutil UpdateBootInfo",
            "diskpart /s detail.txt",
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
        let (server, _, called) = installs(&wine, BIOS, permit, &[]);
        assert_eq!(
            server.reports(),
            ["start", "disks", "fail/install"],
            "{why}"
        );
        assert_eq!(server.told("fail/install"), [why]);
        assert_eq!(
            called[4..],
            ["diskpart /s detail.txt", "wpeutil reboot"],
            "{why}"
        );
    }
    for (program, last, why) in [
        ("diskpart", "progress/partition", "diskpart failed"),
        ("dism", "progress/extract", "dism failed"),
        ("bcdboot", "progress/bootloader", "bcdboot failed"),
    ] {
        let (server, _, called) = installs(&wine, BIOS, (200, "disk=/dev/disk1\n"), &[program]);
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

/// The disks that were reported, as the server reads them.
fn reported(server: &Server) -> Vec<String> {
    let short = |d: &disks::ReportedDisk| {
        let contents = d.contents.join(",");
        format!(
            "{} {} [{}] [{}] [{}] {} {} {contents}",
            d.path, d.size, d.serial, d.model, d.wwn, d.bus, d.removable
        )
    };
    let disks = disks::parse(&server.told("disks")[0]).expect("a report");
    disks.iter().map(short).collect()
}

#[test]
fn what_windows_storage_management_knows_of_disks_is_reported() {
    let Some(wine) = Wine::new() else { return };
    let machine = Machine {
        storage: true,
        ..BIOS
    };
    let (server, ..) = installs(&wine, machine, (409, ""), &[]);
    let reported = reported(&server);
    assert_eq!(
        reported[1..],
        [
            "/dev/disk1 64000000000 [S 1%] [QEMU HARDDISK] [0x5000c500a1b2c3d4] sata false gpt,ntfs,unknown",
            "/dev/disk2 1000 [S2] [] [] untold false dos,unknown",
            "/dev/disk4 64000000000 [S4] [A LUN] [0x60060160a1b2c3d460060160a1b2c3d4] fc false unknown",
            "/dev/disk5 64000000000 [S5] [An NVMe] [eui.ace42e6190007804] nvme false gpt,ntfs",
        ]
    );
    // neither tells: all but a USB stick may be on a storage network
    let machine = Machine {
        detail: "The disk you specified is not valid.\r\n",
        ..BIOS
    };
    let (server, ..) = installs(&wine, machine, (409, ""), &[]);
    let list = server.told("disks").remove(0);
    assert_eq!(list.matches("bus=untold").count(), 4, "{list}");
    let told = disks::parse(&list).expect("a report");
    let any = farrier::model::DiskRule::default();
    let permission = disks::Permission {
        may_destroy: &["any".to_string()],
        wipe: true,
        unfinished: &[],
    };
    let said = disks::choose(&any, permission, &told).expect_err("refused");
    assert!(said.contains("name it by `disk = { serial"), "{said}");
}

#[test]
fn windows_is_laid_out_for_the_firmware_that_started_it_or_not_at_all() {
    let Some(wine) = Wine::new() else { return };
    let uefi = Machine {
        firmware: Firmware::UEFI,
        started_by: "2",
        ..BIOS
    };
    for (machine, why) in [
        (
            Machine {
                started_by: "2",
                ..BIOS
            },
            "these answers are for BIOS and the machine was started by UEFI",
        ),
        (
            Machine {
                started_by: "1",
                ..uefi
            },
            "these answers are for UEFI and the machine was started by BIOS",
        ),
    ] {
        let (server, _, called) = installs(&wine, machine, (200, "disk=/dev/disk1\n"), &[]);
        assert_eq!(server.reports(), ["start", "fail/install"], "{why}");
        assert_eq!(server.told("fail/install"), [why]);
        assert!(
            !called.iter().any(|c| c.starts_with("diskpart")),
            "{called:?}"
        );
    }

    // the network first, in the order it has, and Windows second
    let order = [
        "bcdedit /enum firmware",
        "bcdedit /set {fwbootmgr} displayorder {bootmgr} /addfirst",
        "bcdedit /set {fwbootmgr} displayorder {22222222-aaaa-11ec-8000-000000000002} /addfirst",
        "bcdedit /set {fwbootmgr} displayorder {11111111-aaaa-11ec-8000-000000000001} /addfirst",
    ];
    let edits = |called: &[String]| {
        let edits = called.iter().filter(|c| c.starts_with("bcdedit"));
        edits.cloned().collect::<Vec<_>>()
    };
    let (server, sent, called) = installs(&wine, uefi, (200, "disk=/dev/disk1\n"), &[]);
    assert_eq!(server.reports().last().map(String::as_str), Some("end"));
    assert_eq!(edits(&called), order);
    assert!(
        called.contains(&"bcdboot W:\\Windows /s S: /f ALL".to_string()),
        "{called:?}"
    );
    assert_eq!(
        wine.read("w:/Farrier/boot-order.js"),
        Some(sent.documents["boot-order.js"].bytes.to_vec())
    );
    let failing = ["bcdedit"];
    let (server, ..) = installs(&wine, uefi, (200, "disk=/dev/disk1\n"), &failing);
    assert_eq!(
        server.reports().last().map(String::as_str),
        Some("end"),
        "an order that cannot be changed does not fail a build"
    );
    let disk_first = Machine {
        lines: "vars = { boot_order = \"disk\" }\n",
        ..uefi
    };
    let (_, _, called) = installs(&wine, disk_first, (200, "disk=/dev/disk1\n"), &[]);
    assert_eq!(edits(&called), Vec::<String>::new());
    assert_eq!(wine.read("w:/Farrier/boot-order.js"), None);

    // and once more when setup is done
    installed(&wine, &server, &sent);
    wine.stub("c:/windows/system32/bcdedit.exe");
    wine.put(
        "c:/Farrier/boot-order.js",
        &sent.documents["boot-order.js"].bytes,
    );
    let script = text(&sent, "SetupComplete.cmd").replace(" //e:jscript ", " ");
    wine.put(
        "c:/windows/Setup/Scripts/SetupComplete.cmd",
        script.as_bytes(),
    );
    wine.stub("c:/windows/system32/OpenSSH/sshd.exe");
    wine.plan(Plan {
        says: vec![("/enum", ENTRIES)],
        ..Plan::default()
    });
    wine.calls();
    let said = wine.script(&["C:\\windows\\Setup\\Scripts\\SetupComplete.cmd"]);
    let called = words(&wine.calls());
    assert_eq!(edits(&called), order, "{said}");
    let keys = "icacls C:\\ProgramData\\ssh\\administrators_authorized_keys /inheritance:r \
                /grant *S-1-5-32-544:F /grant *S-1-5-18:F";
    assert!(called.contains(&keys.to_string()), "{called:?}");
}

/// What `bcdedit /enum firmware` says after bcdboot, as it is shown in questions of others.
const ENTRIES: &str = "\r\nFirmware Boot Manager\r\n---------------------\r\n\
    identifier              {fwbootmgr}\r\n\
    displayorder            {bootmgr}\r\n\
                            {33333333-aaaa-11ec-8000-000000000003}\r\n\
                            {11111111-aaaa-11ec-8000-000000000001}\r\n\
                            {22222222-aaaa-11ec-8000-000000000002}\r\n\
    timeout                 1\r\n\r\n\
    Windows Boot Manager\r\n--------------------\r\n\
    identifier              {bootmgr}\r\n\
    device                  partition=S:\r\n\
    path                    \\EFI\\Microsoft\\Boot\\bootmgfw.efi\r\n\
    description             Windows Boot Manager\r\n\r\n\
    Firmware Application (101fffff)\r\n-------------------------------\r\n\
    identifier              {22222222-aaaa-11ec-8000-000000000002}\r\n\
    description             UEFI HTTPv4 (MAC:525400000001)\r\n\r\n\
    Firmware Application (101fffff)\r\n-------------------------------\r\n\
    identifier              {11111111-aaaa-11ec-8000-000000000001}\r\n\
    description             UEFI: PXE IPv4 Intel(R) Ethernet\r\n\r\n\
    Firmware Application (101fffff)\r\n-------------------------------\r\n\
    identifier              {33333333-aaaa-11ec-8000-000000000003}\r\n\
    description             EFI Internal Shell\r\n";

#[test]
fn names_that_windows_setup_would_not_take_are_refused() {
    let place = super::site::place();
    let profile = shipped("windows");
    let refused = |name: &str, lines: &str| {
        let mut system = machine("windows", lines);
        system.name = name.parse().expect("a name");
        let made = render(&system, &profile, &distro_of(&profile), &place);
        made.map(|_| ()).map_err(|all| {
            let told = all.iter().map(ToString::to_string);
            told.collect::<Vec<_>>().join("; ")
        })
    };
    assert_eq!(refused("fifteen-letters.lab", ""), Ok(()));
    for (name, lines, told) in [
        ("sixteen--letters", "", "at most 15 characters"),
        ("12345.lab", "", "all digits"),
        ("web01", "disk = { path = \"/dev/sda\" }\n", "/dev/disk0"),
    ] {
        let said = refused(name, lines).expect_err(name);
        assert!(said.contains(told), "{name}: {said}");
    }
    assert_eq!(
        refused("web01", "disk = { path = \"/dev/disk1\" }\n"),
        Ok(())
    );
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
