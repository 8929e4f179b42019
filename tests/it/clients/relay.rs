//! Through relays: dhcrelay with a client behind it, and a relay of our own for what dhcrelay never
//! sends.

use std::net::Ipv4Addr;
use std::path::Path;

use farrier::cli::demo::rack::{Host, Patience, Process, Rack, RackError, SERVER, tools, until};
use farrier::model::MacAddr;

use super::raw::{ACK, Asker, DISCOVER, Message, NAK, OFFER, REQUEST};
use super::tftp::atftp;
use super::{Desk, digest, udhcpc, value};
use crate::rack::can_run;

const NEEDS: [&[tools::Need]; 3] = [tools::NETWORK, tools::CLIENTS, tools::LOADERS];
const FAR: &str = "[[subnet]]\nnetwork = \"10.78.0.0/24\"\nrouter = \"10.78.0.1\"\n\
                   pool = [\"10.78.0.100-10.78.0.199\"]\n";
/// The router in the server's network.
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// A router with a network of its own behind it.
fn router(rack: &Rack) -> Result<Host, RackError> {
    let router = rack.host("router")?;
    router.route(rack.namespace(), ROUTER, "10.78.0.1/24", "10.78.0.0/24")?;
    Ok(router)
}

fn dhcrelay(router: &Host, dir: &Path) -> Result<Process, RackError> {
    let mut command = router.namespace().command("dhcrelay");
    // -a: with option 82; -D: only answers that bring it back are passed on
    command.args(["-4", "-d", "-a", "-D", "-m", "discard"]);
    command.args(["-iu", router.interface(), "-id", router.behind()]);
    command.arg(SERVER.to_string());
    let relay = Process::start("dhcrelay", &mut command, &dir.join("dhcrelay.log"), false)?;
    until(
        "dhcrelay",
        Patience::seconds(20),
        || relay.said(),
        || Ok(relay.said().contains("Sending on   Socket").then_some(())),
    )?;
    Ok(relay)
}

/// Machines in another network get their addresses, their loader by TFTP and their boot script by
/// HTTP through the router.
#[test]
fn a_rack_behind_a_router_boots() -> Result<(), RackError> {
    if !can_run("behind dhcrelay", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let router = router(&rack)?;
    let (reserved, pooled) = (router.host("far1", 1)?, router.host("far2", 2)?);
    let systems = [
        ("far01", reserved.mac().to_string(), Some("10.78.0.11")),
        ("far02", pooled.mac().to_string(), None),
    ];
    let desk = Desk::on(rack, &systems, FAR)?;
    let dir = desk.rack.dir().to_path_buf();
    let relay = dhcrelay(&router, &dir)?;
    let evidence = || format!("{}{}", relay.said(), desk.server.tail());
    for (host, ip) in [(&reserved, "10.78.0.11"), (&pooled, "10.78.0.100")] {
        let (out, told) = udhcpc(host, &dir, &[])?;
        assert!(out.ok(), "{}{}", out.stderr, evidence());
        assert_eq!(value(&told, "ip"), Some(ip));
        assert_eq!(value(&told, "router"), Some("10.78.0.1"));
        assert_eq!(value(&told, "serverid"), Some("10.77.0.1"));
        let default = ["route", "replace", "default", "via", "10.78.0.1"];
        host.namespace().ip(&default)?;
    }

    desk.flag("far02")?;
    let asker = Asker::everyone(&pooled)?;
    let offer = asker.ask(&Message::new(DISCOVER, pooled.mac()).uefi());
    assert_eq!((offer.kind, offer.next), (OFFER, SERVER), "{}", evidence());
    let loader = offer.text(67).expect("a loader");
    let got = dir.join("loader");
    atftp(&pooled, &loader, &got)?;
    assert_eq!(
        digest(&got)?,
        digest(Path::new("/usr/lib/ipxe/snponly.efi"))?
    );
    let script = format!("http://{SERVER}/ipxe/{}", pooled.mac().dashed());
    let out = pooled.run(&["curl", "--silent", "--show-error", "--fail", &script])?;
    assert!(out.ok(), "{}{}", out.stderr, evidence());
    assert!(out.stdout.contains("\nkernel "), "{}", out.stdout);
    // the other one has no business with it
    let out = reserved.run(&["curl", "--silent", "--fail", &script])?;
    assert_eq!(out.code, 22, "{}", out.stdout);
    Ok(())
}

/// Option 82 comes back as it was sent, last, also where it makes no sense.
#[test]
fn option_82_comes_back_verbatim() -> Result<(), RackError> {
    if !can_run("option 82", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let router = router(&rack)?;
    let mac = MacAddr([0x52, 0x54, 0, 1, 0, 1]);
    let systems = [("far01", mac.to_string(), None)];
    let desk = Desk::on(rack, &systems, FAR)?;
    let inner = [10, 78, 0, 1].into();
    let asker = Asker::from(&router, (inner, 67), (SERVER, 67))?;
    let odd: &[u8] = &[2, 1, 9, 1, 2, 7, 7, 1, 1, 7, 200, 99];
    for agent in [&[1, 3, b'a', b'/', b'1'][..], odd, &[0; 200], &[]] {
        let ask = |kind| Message::new(kind, mac).through(inner).option(82, agent);
        let offer = asker.ask(&ask(DISCOVER));
        assert_eq!(offer.kind, OFFER, "{}", desk.server.tail());
        assert_eq!(offer.options.last(), Some(&(82, agent.to_vec())));
        let ack = asker.ask(&ask(REQUEST).wants(offer.given).to(SERVER));
        assert_eq!((ack.kind, ack.given), (ACK, offer.given));
        assert_eq!(ack.options.last(), Some(&(82, agent.to_vec())));
        let nak = asker.ask(&ask(REQUEST).wants([10, 78, 0, 9].into()).to(SERVER));
        assert_eq!(nak.kind, NAK);
        assert_eq!(nak.options.last(), Some(&(82, agent.to_vec())));
    }
    Ok(())
}

/// A relay that names the client's network (sub-option 5, RFC 3527) and wants to be taken for the
/// server (sub-option 11, RFC 5107); answers go to the address that it is reached at.
#[test]
fn link_selection_and_server_identifier_override() -> Result<(), RackError> {
    if !can_run("sub-options 5 and 11", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let router = router(&rack)?;
    let mac = MacAddr([0x52, 0x54, 0, 1, 0, 1]);
    let systems = [("far01", mac.to_string(), Some("10.78.0.11"))];
    let desk = Desk::on(rack, &systems, FAR)?;
    // giaddr is in the server's network: by itself it would say that the client is too
    let asker = Asker::from(&router, (ROUTER, 67), (SERVER, 67))?;
    let agent = [5, 4, 10, 78, 0, 0, 11, 4, 10, 78, 0, 1];
    let ask = |kind| Message::new(kind, mac).through(ROUTER).option(82, agent);
    let (ip, relay) = ([10, 78, 0, 11].into(), Ipv4Addr::new(10, 78, 0, 1));
    let offer = asker.ask(&ask(DISCOVER).uefi());
    assert_eq!(
        (offer.kind, offer.given),
        (OFFER, ip),
        "{}",
        desk.server.tail()
    );
    assert_eq!(offer.server(), Some(relay));
    assert_eq!(offer.option(3), Some(&[10, 78, 0, 1][..]));
    assert_eq!(offer.next, SERVER, "it boots from the real one");
    // the client takes the relay for its server
    let ack = asker.ask(&ask(REQUEST).wants(ip).to(relay));
    assert_eq!((ack.kind, ack.given, ack.server()), (ACK, ip, Some(relay)));
    Ok(())
}
