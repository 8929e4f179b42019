//! Interfaces: answered on those listed, and nowhere else; and what stands in the way.

use std::time::Duration;

use farrier::cli::demo::rack::{Rack, RackError, tools};

use super::raw::{Asker, DISCOVER, Message, REQUEST};
use super::{Desk, dnsmasq, udhcpc};
use crate::rack::can_run;

const NEEDS: [&[tools::Need]; 3] = [tools::NETWORK, tools::CLIENTS, tools::NEIGHBOUR];

#[test]
fn nothing_is_said_on_an_interface_that_is_not_listed() -> Result<(), RackError> {
    if !can_run("an interface that is not listed", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    // the rack's server has a second switch, in a network that is declared too
    let inside = rack.namespace();
    inside.ip(&["link", "add", "br9", "type", "bridge"])?;
    inside.ip(&["addr", "add", "10.79.0.1/24", "dev", "br9"])?;
    inside.ip(&["link", "set", "br9", "up"])?;
    let (here, there) = (rack.host("here")?, rack.host("there")?);
    inside.ip(&["link", "set", "host1", "master", "br9"])?;
    let systems = [
        ("web01", here.mac().to_string(), Some("10.77.0.11")),
        ("web02", there.mac().to_string(), Some("10.79.0.11")),
    ];
    let desk = Desk::on(rack, &systems, "[[subnet]]\nnetwork = \"10.79.0.0/24\"\n")?;
    assert!(
        !desk.server.ready().contains("br9"),
        "{}",
        desk.server.ready()
    );
    let dir = desk.rack.dir().to_path_buf();
    assert!(udhcpc(&here, &dir, &[])?.0.ok(), "{}", desk.server.tail());
    let asker = Asker::everyone(&there)?;
    let discover = Message::new(DISCOVER, there.mac()).uefi();
    let reboot = Message::new(REQUEST, there.mac()).wants([10, 79, 0, 11].into());
    for message in [discover, reboot] {
        assert_eq!(asker.ask_all(&message, Duration::from_millis(500)), []);
    }
    Ok(())
}

#[test]
fn a_port_that_another_server_has_is_named_with_the_fix() -> Result<(), RackError> {
    if !can_run("a taken port", &NEEDS, false) {
        return Ok(());
    }
    // the three ways in which dnsmasq takes the port, two of which share it with whoever shares
    for way in ["--interface=br0", "--bind-interfaces", "--bind-dynamic"] {
        let rack = Rack::new()?;
        let _other = dnsmasq(&rack, rack.namespace(), way)?;
        let refused = Desk::on(rack, &[], "").err().map(|e| e.to_string());
        let refused = refused.unwrap_or_else(|| panic!("the port is taken, with {way}"));
        assert!(
            refused.contains("port 67 on `br0` is taken"),
            "{way}: {refused}"
        );
        assert!(refused.contains("mode = \"proxy\""), "{refused}");
    }
    Ok(())
}

#[test]
fn packets_that_are_none_stop_nothing() -> Result<(), RackError> {
    if !can_run("malformed packets", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let host = rack.host("client")?;
    let desk = Desk::on(
        rack,
        &[("web01", host.mac().to_string(), Some("10.77.0.11"))],
        "",
    )?;
    host.address("10.77.0.50/24")?;
    let mac = host.mac();
    host.namespace().inside(move || {
        let socket = std::net::UdpSocket::bind("10.77.0.50:0").expect("a socket");
        let send = |bytes: &[u8]| {
            // the kernel refuses what is longer than a datagram
            let _ = socket.send_to(bytes, "10.77.0.1:67");
            let _ = socket.send_to(bytes, "10.77.0.1:4011");
        };
        let mut good = vec![0; 240];
        good[..3].copy_from_slice(&[1, 1, 6]);
        good[28..34].copy_from_slice(&mac.0);
        good[236..].copy_from_slice(&[99, 130, 83, 99]);
        good.extend_from_slice(&[53, 1, 1, 255]);
        for hlen in [0, 5, 7, 16, 17, 212, 255] {
            let mut bad = good.clone();
            bad[2] = hlen;
            send(&bad);
        }
        for length in [0, 1, 28, 239, 240] {
            send(&good[..length]);
        }
        send(&vec![1; 60_000]);
        for options in [
            &[53, 1][..],
            &[53, 200, 1],
            &[82, 255, 1],
            &[53, 1, 99, 255],
            &[53, 1, 1, 43, 3, 71, 200, 1, 175, 2, 19, 99, 77, 1, 9],
            &[53, 1, 3, 50, 3, 1, 2, 3, 54, 0, 255],
        ] {
            let mut bad = good[..240].to_vec();
            bad.extend_from_slice(options);
            send(&bad);
        }
    })?;
    host.no_address()?;
    let (out, _) = udhcpc(&host, desk.rack.dir(), &[])?;
    assert!(out.ok(), "{}{}", out.stderr, desk.server.tail());
    assert!(desk.counter("dhcp.malformed.hlen")? >= 7);
    assert!(desk.counter("dhcp.malformed.length")? >= 4);
    assert_eq!(desk.counter("dhcp.panics")?, 0);
    Ok(())
}
