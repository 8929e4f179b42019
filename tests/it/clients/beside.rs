//! Beside another server, which hands out the addresses.

use std::time::Duration;

use farrier::cli::demo::rack::{Patience, Process, Rack, RackError, SERVER, tools, until};

use super::raw::{ACK, Asker, DISCOVER, Message, OFFER, REQUEST};
use super::{Desk, udhcpc, value};
use crate::rack::can_run;

const NEEDS: [&[tools::Need]; 3] = [tools::NETWORK, tools::CLIENTS, tools::NEIGHBOUR];

#[test]
fn proxy_beside_dnsmasq() -> Result<(), RackError> {
    if !can_run("proxy beside dnsmasq", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let (other, host) = (rack.host("dnsmasq")?, rack.host("client")?);
    other.address("10.77.0.9/24")?;
    let mut dnsmasq = other.namespace().command("dnsmasq");
    dnsmasq.args([
        "--no-daemon",
        "--conf-file=/dev/null",
        "--port=0",
        "--log-dhcp",
    ]);
    dnsmasq.args(["--dhcp-range=10.77.0.200,10.77.0.210,1h", "--no-ping"]);
    dnsmasq.arg(format!("--dhcp-leasefile={}/leases", rack.dir().display()));
    let log = rack.dir().join("dnsmasq.log");
    let dnsmasq = Process::start("dnsmasq", &mut dnsmasq, &log, false)?;
    until(
        "dnsmasq",
        Patience::seconds(20),
        || dnsmasq.said(),
        || Ok(dnsmasq.said().contains("DHCP, IP range").then_some(())),
    )?;
    let systems = [("web01", host.mac().to_string(), None)];
    let desk = Desk::on(rack, &systems, "[dhcp]\nmode = \"proxy\"\n")?;
    let asker = Asker::everyone(&host)?;
    let discover = Message::new(DISCOVER, host.mac()).uefi();
    // not flagged: only the other server speaks
    let silent = desk.counter("dhcp.silent")?;
    let offer = asker.ask(&discover);
    assert_eq!(offer.kind, OFFER);
    assert_eq!(offer.server(), Some([10, 77, 0, 9].into()));
    assert!(offer.given.octets()[3] >= 200, "{offer:?}{}", dnsmasq.said());
    until(
        "the server's silence",
        Patience::seconds(20),
        || desk.server.tail(),
        || Ok((desk.counter("dhcp.silent")? > silent).then_some(())),
    )?;
    assert_eq!(desk.counter("dhcp.replied")?, 0);

    desk.flag("web01")?;
    let mut said = asker.ask_all(&discover, Duration::from_secs(2));
    said.retain(|s| s.server() == Some(SERVER));
    let [offer] = said.as_slice() else {
        panic!("{said:?}{}", desk.server.tail())
    };
    assert_eq!((offer.kind, offer.next), (OFFER, SERVER));
    assert!(offer.given.is_unspecified());
    assert_eq!(offer.text(60).as_deref(), Some("PXEClient"));
    assert_eq!(offer.text(67).as_deref(), Some("snponly.efi"));
    // on port 4011 once it has its address
    host.address("10.77.0.205/24")?;
    let own = [10, 77, 0, 205].into();
    let asker_4011 = Asker::from(&host, (own, 4011), (SERVER, 4011))?;
    let ack = asker_4011.ask(&Message::new(REQUEST, host.mac()).from(own).uefi());
    assert_eq!((ack.kind, ack.text(67)), (ACK, offer.text(67)), "{ack:?}");
    assert_eq!(ack.option(51), None, "it leases nothing");
    // an ordinary client hears nothing of us
    drop((asker, asker_4011));
    host.no_address()?;
    let replied = desk.counter("dhcp.replied")?;
    let (out, told) = udhcpc(&host, desk.rack.dir(), &[])?;
    assert!(out.ok(), "{}", out.stderr);
    assert_eq!(value(&told, "serverid"), Some("10.77.0.9"));
    assert_eq!(desk.counter("dhcp.replied")?, replied);
    Ok(())
}

#[test]
fn a_flagged_machine_is_told_what_to_boot() -> Result<(), RackError> {
    if !can_run("a flagged machine", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let host = rack.host("client")?;
    let systems = [("web01", host.mac().to_string(), Some("10.77.0.11"))];
    let desk = Desk::on(rack, &systems, "")?;
    let asker = Asker::everyone(&host)?;
    let discover = Message::new(DISCOVER, host.mac()).uefi();
    let offer = asker.ask(&discover);
    assert_eq!((offer.kind, offer.text(67)), (OFFER, None));
    desk.flag("web01")?;
    let offer = asker.ask(&discover);
    assert_eq!(
        offer.text(67).as_deref(),
        Some("snponly.efi"),
        "{}",
        desk.server.tail()
    );
    let event = desk.server.wait_event(
        "web01",
        "the beginning of its boot",
        Patience::seconds(10),
        None,
        |e| e.kind == "boot-began",
    )?;
    assert!(event.detail.contains("uefi firmware"), "{}", event.detail);
    Ok(())
}
