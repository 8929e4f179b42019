//! Doors follow the site and the interfaces, with no restart.

use farrier::cli::demo::rack::{Patience, Rack, RackError, tools, until};

use super::can_run;
use super::desk::{Desk, has, write_site};

const NEEDS: [&[tools::Need]; 1] = [tools::NETWORK];

#[test]
fn a_server_that_began_with_broken_files_opens_its_doors_when_they_are_mended()
-> Result<(), RackError> {
    if !can_run("doors after a broken start", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let host = rack.host("client")?;
    let site = write_site(&rack, &[("web01", host.mac(), "10.77.0.11")], "")?;
    let path = site.join("systems.toml");
    let sound = std::fs::read_to_string(&path).map_err(RackError::file(&path))?;
    std::fs::write(&path, "[system.web01\n").map_err(RackError::file(&path))?;
    let desk = Desk::serve(rack, site, |_| {})?;
    assert!(
        desk.server.ready().starts_with("farrier is not ready: "),
        "{}",
        desk.server.ready()
    );
    assert!(!desk.has("dhcp")?);
    std::fs::write(&path, sound).map_err(RackError::file(&path))?;
    desk.doors("all doors", |d| {
        has(d, "dhcp br0 10.77.0.1:67 (full)")
            && has(d, "http 10.77.0.1:80")
            && has(d, "https 10.77.0.1:443")
            && has(d, "tftp 10.77.0.1:69")
    })?;
    desk.answered(&host)
}

#[test]
fn doors_follow_the_site_and_the_interfaces() -> Result<(), RackError> {
    if !can_run("doors that follow", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let (here, there) = (rack.host("here")?, rack.host("there")?);
    let systems = [
        ("web01", here.mac(), "10.77.0.11"),
        ("web02", there.mac(), "10.79.0.11"),
    ];
    let second = "[[subnet]]\nnetwork = \"10.79.0.0/24\"\n";
    let desk = Desk::new(rack, &systems, second)?;
    let inside = desk.rack.namespace();
    desk.answered(&here)?;

    // an interface that is listed before it is there: said, and opened once it is
    let listed = |text: &str| text.replace("[\"br0\"]", "[\"br0\", \"br9\"]");
    desk.edit("farrier.toml", listed)?;
    until(
        "what is wrong with br9",
        Patience::seconds(60),
        || desk.server.tail(),
        || {
            let attention = desk.status()?.attention;
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
    desk.doors("the doors of br9", |d| {
        has(d, "dhcp br9 10.79.0.1:67") && has(d, "http 10.79.0.1") && has(d, "tftp 10.79.0.1")
    })?;
    desk.answered(&there)?;
    assert_eq!(desk.status()?.attention, Vec::<String>::new());

    // made anew it has the same name and another number
    inside.ip(&["link", "del", "br9"])?;
    make("br9", "10.79.0.1/24", "host1")?;
    desk.answered(&there)?;

    // DHCP off, and on again
    let mode = |word: &str| format!("\n[dhcp]\nmode = \"{word}\"\n");
    desk.edit("farrier.toml", |text| text.to_string() + &mode("off"))?;
    desk.doors("DHCP shut", |d| !has(d, "dhcp") && has(d, "http"))?;
    desk.edit("farrier.toml", |text| {
        text.replace(&mode("off"), &mode("proxy"))
    })?;
    desk.doors("proxyDHCP", |d| has(d, "dhcp br0 10.77.0.1:4011 (proxy)"))?;
    desk.edit("farrier.toml", |text| {
        text.replace(&mode("proxy"), &mode("full"))
    })?;
    desk.doors("DHCP", |d| has(d, "dhcp br0 10.77.0.1:67 (full)"))?;
    desk.answered(&here)?;

    // the first FAI profile
    assert!(!desk.has("fai-monitor")?);
    let fai = desk.server.site().join("profiles/fai");
    std::fs::create_dir_all(&fai).map_err(RackError::file(&fai))?;
    let profile = fai.join("profile.toml");
    let text = "kind = \"fai\"\ndistro = \"rescue\"\n";
    std::fs::write(&profile, text).map_err(RackError::file(&profile))?;
    desk.doors("FAI's monitor", |d| has(d, "fai-monitor 10.77.0.1:4711"))?;

    // another port; and an interface that is listed no more
    desk.edit("farrier.toml", |text| {
        text.replace("[\"br0\", \"br9\"]", "[\"br0\"]\nhttp_port = 8080")
    })?;
    desk.doors("port 8080 of br0 alone", |d| {
        has(d, "http 10.77.0.1:8080") && !d.iter().any(|w| w.contains("10.79.0.1"))
    })
}
