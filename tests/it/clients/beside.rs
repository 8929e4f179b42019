//! Beside another server, which hands out the addresses.

use std::time::Duration;

use farrier::cli::demo::rack::{Patience, Rack, RackError, SERVER, tools, until};

use super::raw::{ACK, Asker, DISCOVER, Message, OFFER, REQUEST};
use super::{Desk, dnsmasq, udhcpc, value};
use crate::rack::can_run;

const NEEDS: [&[tools::Need]; 3] = [tools::NETWORK, tools::CLIENTS, tools::NEIGHBOUR];

const PROXY: &str = "[dhcp]\nmode = \"proxy\"\n";

/// On the same host the two share the port, if the other one shares it at all.
#[test]
fn proxy_on_the_host_of_a_dnsmasq() -> Result<(), RackError> {
    if !can_run("proxy on dnsmasq's host", &NEEDS, false) {
        return Ok(());
    }
    for way in ["--bind-interfaces", "--bind-dynamic"] {
        let rack = Rack::new()?;
        let host = rack.host("client")?;
        let other = dnsmasq(&rack, rack.namespace(), way)?;
        let systems = [("web01", host.mac().to_string(), None)];
        let desk = Desk::on(rack, &systems, PROXY)?;
        desk.flag("web01")?;
        let asker = Asker::everyone(&host)?;
        let discover = Message::new(DISCOVER, host.mac()).uefi();
        // both have the same address: they are told apart by what they give
        let said = asker.ask_all(&discover, Duration::from_secs(2));
        let file = |leases: bool| {
            let mut of = said.iter().filter(|s| s.given.is_unspecified() != leases);
            of.next().map(|s| s.text(67))
        };
        let evidence = || format!("{way} {said:?}{}{}", other.said(), desk.server.tail());
        assert_eq!(file(true), Some(None), "{}", evidence());
        assert_eq!(
            file(false),
            Some(Some("snponly.efi".into())),
            "{}",
            evidence()
        );
    }
    let rack = Rack::new()?;
    let _other = dnsmasq(&rack, rack.namespace(), "--interface=br0")?;
    let refused = Desk::on(rack, &[], PROXY).err().map(|e| e.to_string());
    let refused = refused.expect("the port is not shared");
    assert!(refused.contains("set `bind-interfaces`"), "{refused}");
    Ok(())
}

#[test]
fn proxy_beside_dnsmasq() -> Result<(), RackError> {
    if !can_run("proxy beside dnsmasq", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let (other, host) = (rack.host("dnsmasq")?, rack.host("client")?);
    other.address("10.77.0.9/24")?;
    let dnsmasq = dnsmasq(&rack, other.namespace(), "--bind-interfaces")?;
    let systems = [("web01", host.mac().to_string(), None)];
    let desk = Desk::on(rack, &systems, PROXY)?;
    let asker = Asker::everyone(&host)?;
    let discover = Message::new(DISCOVER, host.mac()).uefi();
    // not flagged: only the other server speaks
    let silent = desk.counter("dhcp.silent")?;
    let offer = asker.ask(&discover);
    assert_eq!(offer.kind, OFFER);
    assert_eq!(offer.server(), Some([10, 77, 0, 9].into()));
    assert!(
        offer.given.octets()[3] >= 200,
        "{offer:?}{}",
        dnsmasq.said()
    );
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
