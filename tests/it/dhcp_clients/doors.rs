//! Doors follow the site and the interfaces, with no restart.

use std::time::Duration;

use farrier::cli::demo::rack::{Host, Patience, Rack, RackError, Server, tools, until};
use farrier::model::view::StatusView;

use super::raw::{UEFI, ask};
use super::{Desk, write_site};
use crate::rack::can_run;

const NEEDS: [&[tools::Need]; 1] = [tools::NETWORK];

fn status(server: &Server) -> Result<StatusView, RackError> {
    let text = server.must(&["status", "-o", "json"])?;
    Ok(serde_json::from_str(&text).expect("a JSON object"))
}

/// Waits until the open doors are as `wanted` says.
fn doors(desk: &Desk, what: &str, wanted: impl Fn(&[String]) -> bool) -> Result<(), RackError> {
    until(
        what,
        Patience::seconds(60),
        || {
            let doors = status(&desk.server).map(|s| (s.doors, s.attention));
            format!("{doors:?}{}", desk.server.tail())
        },
        || Ok(wanted(&status(&desk.server)?.doors).then_some(())),
    )
}

fn has(doors: &[String], start: &str) -> bool {
    doors.iter().any(|d| d.starts_with(start))
}

/// Waits until a DISCOVER from this host is answered.
fn answered(desk: &Desk, host: &Host) -> Result<(), RackError> {
    until(
        "an OFFER",
        Patience::seconds(60),
        || desk.server.tail(),
        || {
            let said = ask(host, 1, UEFI, Duration::from_millis(500))?;
            Ok(said.iter().any(|s| s.kind == 2).then_some(()))
        },
    )
}

fn edit(desk: &Desk, file: &str, change: impl Fn(&str) -> String) -> Result<(), RackError> {
    let path = desk.server.site().join(file);
    let text = std::fs::read_to_string(&path).map_err(RackError::file(&path))?;
    std::fs::write(&path, change(&text)).map_err(RackError::file(&path))
}

#[test]
fn a_server_that_began_with_broken_files_opens_its_doors_when_they_are_mended()
-> Result<(), RackError> {
    if !can_run("doors after a broken start", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let host = rack.host("client")?;
    let systems = [("web01", host.mac().to_string(), Some("10.77.0.11"))];
    let site = rack.dir().join("site");
    write_site(&site, &systems, "").map_err(RackError::file(&site))?;
    let path = site.join("systems.toml");
    let sound = std::fs::read_to_string(&path).map_err(RackError::file(&path))?;
    std::fs::write(&path, "[system.web01\n").map_err(RackError::file(&path))?;
    let desk = Desk::serve(rack, site)?;
    assert!(
        desk.server.ready().starts_with("farrier is not ready: "),
        "{}",
        desk.server.ready()
    );
    assert!(!has(&status(&desk.server)?.doors, "dhcp"));
    std::fs::write(&path, sound).map_err(RackError::file(&path))?;
    doors(&desk, "all doors", |d| {
        has(d, "dhcp br0 10.77.0.1:67 (full)")
            && has(d, "http 10.77.0.1:80")
            && has(d, "tftp 10.77.0.1:69")
    })?;
    answered(&desk, &host)
}

#[test]
fn doors_follow_the_site_and_the_interfaces() -> Result<(), RackError> {
    if !can_run("doors that follow", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let (here, there) = (rack.host("here")?, rack.host("there")?);
    let systems = [
        ("web01", here.mac().to_string(), Some("10.77.0.11")),
        ("web02", there.mac().to_string(), Some("10.79.0.11")),
    ];
    let second = "[[subnet]]\nnetwork = \"10.79.0.0/24\"\n";
    let desk = Desk::on(rack, &systems, second)?;
    let inside = desk.rack.namespace();
    answered(&desk, &here)?;

    // an interface that is listed before it is there: said, and opened once it is
    let listed = |text: &str| text.replace("[\"br0\"]", "[\"br0\", \"br9\"]");
    edit(&desk, "farrier.toml", listed)?;
    until(
        "what is wrong with br9",
        Patience::seconds(60),
        || desk.server.tail(),
        || {
            let attention = status(&desk.server)?.attention;
            let said = |l: &String| l.contains("interface `br9` does not exist");
            Ok(attention.iter().any(said).then_some(()))
        },
    )?;
    let make = |name: &str, address: &str, port: &str| -> Result<(), RackError> {
        inside.ip(&["link", "add", name, "mtu", "1400", "type", "bridge"])?;
        inside.ip(&["addr", "add", address, "dev", name])?;
        inside.ip(&["link", "set", name, "up"])?;
        inside.ip(&["link", "set", port, "master", name])?;
        Ok(())
    };
    make("br9", "10.79.0.1/24", "host1")?;
    doors(&desk, "the doors of br9", |d| {
        has(d, "dhcp br9 10.79.0.1:67") && has(d, "http 10.79.0.1") && has(d, "tftp 10.79.0.1")
    })?;
    answered(&desk, &there)?;
    assert_eq!(status(&desk.server)?.attention, Vec::<String>::new());

    // made anew it has the same name and another number
    inside.ip(&["link", "del", "br9"])?;
    make("br9", "10.79.0.1/24", "host1")?;
    answered(&desk, &there)?;

    // DHCP off, and on again
    let mode = |word: &str| format!("\n[dhcp]\nmode = \"{word}\"\n");
    edit(&desk, "farrier.toml", |text| {
        text.to_string() + &mode("off")
    })?;
    doors(&desk, "DHCP shut", |d| !has(d, "dhcp") && has(d, "http"))?;
    edit(&desk, "farrier.toml", |text| {
        text.replace(&mode("off"), &mode("proxy"))
    })?;
    doors(&desk, "proxyDHCP", |d| {
        has(d, "dhcp br0 10.77.0.1:4011 (proxy)")
    })?;
    edit(&desk, "farrier.toml", |text| {
        text.replace(&mode("proxy"), &mode("full"))
    })?;
    doors(&desk, "DHCP", |d| has(d, "dhcp br0 10.77.0.1:67 (full)"))?;
    answered(&desk, &here)?;

    // the first FAI profile
    assert!(!has(&status(&desk.server)?.doors, "fai-monitor"));
    let fai = desk.server.site().join("profiles/fai");
    std::fs::create_dir_all(&fai).map_err(RackError::file(&fai))?;
    let profile = fai.join("profile.toml");
    let text = "kind = \"fai\"\ndistro = \"rescue\"\n";
    std::fs::write(&profile, text).map_err(RackError::file(&profile))?;
    doors(&desk, "FAI's monitor", |d| {
        has(d, "fai-monitor 10.77.0.1:4711")
    })?;

    // another port; and an interface that is listed no more
    edit(&desk, "farrier.toml", |text| {
        text.replace("[\"br0\", \"br9\"]", "[\"br0\"]\nhttp_port = 8080")
    })?;
    doors(&desk, "port 8080 of br0 alone", |d| {
        has(d, "http 10.77.0.1:8080") && !d.iter().any(|w| w.contains("10.79.0.1"))
    })
}
