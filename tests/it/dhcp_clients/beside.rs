//! Relays in between, and another server beside.

use std::time::Duration;

use farrier::cli::demo::rack::{Patience, Process, Rack, RackError, SERVER, tools, until};

use super::raw::{UEFI, ask, ask_4011};
use super::{Desk, udhcpc, value};
use crate::rack::can_run;

const NEEDS: [&[tools::Need]; 3] = [tools::NETWORK, tools::CLIENTS, tools::NEIGHBOUR];
const FAR: &str = "[[subnet]]\nnetwork = \"10.78.0.0/24\"\nrouter = \"10.78.0.1\"\n\
                   pool = [\"10.78.0.100-10.78.0.199\"]\n";

#[test]
fn through_a_relay() -> Result<(), RackError> {
    if !can_run("through dhcrelay", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let router = rack.host("router")?;
    router.route(
        rack.namespace(),
        [10, 77, 0, 2].into(),
        "10.78.0.1/24",
        "10.78.0.0/24",
    )?;
    let (reserved, pooled) = (router.host("far1", 1)?, router.host("far2", 2)?);
    let systems = [
        ("far01", reserved.mac().to_string(), Some("10.78.0.11")),
        ("far02", pooled.mac().to_string(), None),
    ];
    let desk = Desk::on(rack, &systems, FAR)?;
    let mut relay = router.namespace().command("dhcrelay");
    // -a: with option 82, and only answers that bring it back are passed on
    relay.args(["-4", "-d", "-a", "-m", "discard"]);
    relay.args([
        "-iu",
        router.interface(),
        "-id",
        router.behind(),
        "10.77.0.1",
    ]);
    let log = desk.rack.dir().join("dhcrelay.log");
    let relay = Process::start("dhcrelay", &mut relay, &log, false)?;
    until(
        "dhcrelay",
        Patience::seconds(20),
        || relay.said(),
        || Ok(relay.said().contains("Sending on   Socket").then_some(())),
    )?;
    let dir = desk.rack.dir().to_path_buf();
    let (out, told) = udhcpc(&reserved, &dir, &[])?;
    let evidence = || format!("{}{}", relay.said(), desk.server.tail());
    assert!(out.ok(), "{}{}", out.stderr, evidence());
    assert_eq!(value(&told, "ip"), Some("10.78.0.11"));
    assert_eq!(value(&told, "router"), Some("10.78.0.1"));
    let (out, told) = udhcpc(&pooled, &dir, &[])?;
    assert!(out.ok(), "{}{}", out.stderr, evidence());
    assert_eq!(value(&told, "ip"), Some("10.78.0.100"));
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
    let patience = Duration::from_secs(2);
    let ours = |said: Vec<super::raw::Said>| {
        said.into_iter()
            .filter(|s| s.server == SERVER)
            .collect::<Vec<_>>()
    };
    // not flagged: only the other server speaks
    let said = ask(&host, 1, UEFI, patience)?;
    assert!(
        said.iter().any(|s| s.given.octets()[3] >= 200),
        "{said:?}{}",
        dnsmasq.said()
    );
    assert_eq!(ours(said), []);

    desk.server.must(&["distro", "fetch", "rescue"])?;
    desk.server.must(&["boot", "web01", "rescue", "--yes"])?;
    let said = ours(ask(&host, 1, UEFI, patience)?);
    let [offer] = said.as_slice() else {
        panic!("{said:?}{}", desk.server.tail())
    };
    assert_eq!((offer.kind, offer.next), (2, SERVER));
    assert!(offer.given.is_unspecified());
    assert_eq!(offer.class.as_deref(), Some("PXEClient"));
    assert_eq!(offer.file.as_deref(), Some("snponly.efi"));
    // on port 4011 once it has its address
    host.address("10.77.0.205/24")?;
    let said = ask_4011(&host, [10, 77, 0, 205].into(), SERVER, UEFI, patience)?;
    assert!(
        matches!(said.as_slice(), [ack] if ack.kind == 5 && ack.file == offer.file),
        "{said:?}"
    );
    // an ordinary client hears nothing of us
    host.no_address()?;
    let (out, told) = udhcpc(&host, desk.rack.dir(), &[])?;
    assert!(out.ok(), "{}", out.stderr);
    assert_eq!(value(&told, "serverid"), Some("10.77.0.9"));
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
    let patience = Duration::from_millis(1500);
    let file = |said: Vec<super::raw::Said>| said.into_iter().next().and_then(|s| s.file);
    assert_eq!(file(ask(&host, 1, UEFI, patience)?), None);
    desk.server.must(&["distro", "fetch", "rescue"])?;
    desk.server.must(&["boot", "web01", "rescue", "--yes"])?;
    let flagged = file(ask(&host, 1, UEFI, patience)?);
    assert_eq!(
        flagged.as_deref(),
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
