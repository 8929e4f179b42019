//! Each client gets its reservation, with everything it asks for.

use farrier::cli::demo::rack::{Patience, Process, Rack, RackError, tools, until};

use super::{Desk, script, udhcpc, value};
use crate::rack::can_run;

const NEEDS: [&[tools::Need]; 2] = [tools::NETWORK, tools::CLIENTS];

#[test]
fn dhclient() -> Result<(), RackError> {
    if !can_run("dhclient", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let host = rack.host("client")?;
    let desk = Desk::on(
        rack,
        &[("web01", host.mac().to_string(), Some("10.77.0.11"))],
        "",
    )?;
    let leases = desk.rack.dir().join("dhclient.leases");
    let pid = desk.rack.dir().join("dhclient.pid");
    let script = "/bin/true";
    // it wants the file to be there
    std::fs::write(&leases, "").map_err(RackError::file(&leases))?;
    let words = |more: &'static str| {
        [
            "dhclient".to_string(),
            "-v".to_string(),
            more.to_string(),
            "-sf".to_string(),
            script.to_string(),
            "-lf".to_string(),
            leases.display().to_string(),
            "-pf".to_string(),
            pid.display().to_string(),
            host.interface().to_string(),
        ]
    };
    let run = |more| {
        let owned = words(more);
        let words: Vec<&str> = owned.iter().map(String::as_str).collect();
        host.run(&words)
    };
    let out = run("-1")?;
    assert!(out.ok(), "{}{}", out.stderr, desk.server.tail());
    let lease = std::fs::read_to_string(&leases).map_err(RackError::file(&leases))?;
    for line in [
        "fixed-address 10.77.0.11;",
        "option subnet-mask 255.255.255.0;",
        "option routers 10.77.0.1;",
        "option domain-name-servers 10.77.0.1;",
        "option host-name \"web01\";",
        "option domain-name \"lab.example\";",
        "option dhcp-server-identifier 10.77.0.1;",
        "option dhcp-lease-time 3600;",
    ] {
        assert!(lease.contains(line), "{line} is not in\n{lease}");
    }
    assert!(
        !lease.contains("filename"),
        "a system is no boot client: {lease}"
    );
    // INIT-REBOOT: it remembers its address (the first run went on in the background)
    let out = run("-x")?;
    assert!(out.ok(), "{}", out.stderr);
    let out = run("-1")?;
    assert!(
        out.stderr.contains("DHCPREQUEST for 10.77.0.11"),
        "{}",
        out.stderr
    );
    assert!(
        out.stderr.contains("DHCPACK of 10.77.0.11"),
        "{}",
        out.stderr
    );
    assert!(!out.stderr.contains("DHCPDISCOVER"), "{}", out.stderr);
    // RELEASE of a reservation changes nothing
    host.address("10.77.0.11/24")?;
    let out = run("-r")?;
    assert!(out.ok(), "{}", out.stderr);
    host.no_address()?;
    assert!(run("-1")?.stderr.contains("DHCPACK of 10.77.0.11"));
    run("-x")?;
    Ok(())
}

#[test]
fn udhcpc_reserved_and_pooled() -> Result<(), RackError> {
    if !can_run("udhcpc", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let (reserved, pooled) = (rack.host("reserved")?, rack.host("pooled")?);
    let stranger = rack.host("stranger")?;
    let systems = [
        ("web01", reserved.mac().to_string(), Some("10.77.0.11")),
        ("web02", pooled.mac().to_string(), None),
    ];
    let mut desk = Desk::on(rack, &systems, "")?;
    let dir = desk.rack.dir().to_path_buf();
    let (out, told) = udhcpc(&reserved, &dir, &["-O", "ntpsrv"])?;
    assert!(out.ok(), "{}{}", out.stderr, desk.server.tail());
    assert_eq!(value(&told, "ip"), Some("10.77.0.11"));
    assert_eq!(value(&told, "serverid"), Some("10.77.0.1"));
    assert_eq!(value(&told, "hostname"), Some("web01"));
    assert_eq!(value(&told, "boot_file"), None, "{told}");

    let (out, told) = udhcpc(&pooled, &dir, &["-x", "hostname:mine"])?;
    assert!(out.ok(), "{}{}", out.stderr, desk.server.tail());
    let ip = value(&told, "ip").expect("an address").to_string();
    assert_eq!(ip, "10.77.0.100");
    let lease = |desk: &Desk| -> Result<_, RackError> {
        let all = desk.leases()?;
        Ok(all
            .into_iter()
            .find(|l| l.ip.to_string() == ip)
            .expect("the lease"))
    };
    let bound = lease(&desk)?;
    assert_eq!(
        (bound.state.as_str(), bound.hostname.as_deref()),
        ("bound", Some("mine"))
    );
    assert_eq!(bound.system.as_deref(), Some("web02"));

    // nobody declared this one
    let (out, _) = udhcpc(&stranger, &dir, &[])?;
    assert!(!out.ok(), "{}", out.stdout);

    // as a power cut would: what was acknowledged is known again
    desk.server.kill();
    desk.server.up()?;
    assert_eq!(lease(&desk)?.state, "bound");
    pooled.no_address()?;
    let (_, told) = udhcpc(&pooled, &dir, &[])?;
    assert_eq!(value(&told, "ip"), Some(ip.as_str()));

    // -R gives it back when it is asked to end. (With -q it says that it does so, and sends nothing:
    // BusyBox 1.35.)
    let mut command = pooled.namespace().command("udhcpc");
    command.args(["-f", "-n", "-R", "-i", pooled.interface(), "-s"]);
    command.arg(script(&pooled, &dir)?);
    let log = dir.join("udhcpc.log");
    let client = Process::start("udhcpc", &mut command, &log, false)?;
    let evidence = || format!("{}{}", client.said(), desk.server.tail());
    let said = |words: &str| {
        let look = || Ok(client.said().contains(words).then_some(()));
        until(words, Patience::seconds(20), evidence, look)
    };
    said(&format!("lease of {ip} obtained"))?;
    assert_eq!(lease(&desk)?.state, "bound");
    client.terminate();
    until(
        "the released lease",
        Patience::seconds(20),
        evidence,
        || Ok((lease(&desk)?.state == "released").then_some(())),
    )
}

#[test]
fn dhcpcd() -> Result<(), RackError> {
    if !can_run("dhcpcd", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let host = rack.host("client")?;
    let desk = Desk::on(
        rack,
        &[("web01", host.mac().to_string(), Some("10.77.0.11"))],
        "",
    )?;
    // -T: says what it was offered and leaves the system alone. Its helpers outlive it, may write
    // after its end and keep its output open, so it is the words that are waited for; they go with
    // their namespace.
    let mut command = host.namespace().command("dhcpcd");
    command.args(["-4", "-T", "-B", "-t", "20", "-c", "/bin/true"]);
    command.arg(host.interface());
    let log = desk.rack.dir().join("dhcpcd.log");
    let client = Process::start("dhcpcd", &mut command, &log, false)?;
    let offered = "offered 10.77.0.11 from 10.77.0.1";
    until(
        "dhcpcd's offer",
        Patience::seconds(40),
        || format!("{}{}", client.said(), desk.server.tail()),
        || Ok(client.said().contains(offered).then_some(())),
    )
}

#[test]
fn an_address_in_use_is_not_given() -> Result<(), RackError> {
    if !can_run("an address in use", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let (squatter, host) = (rack.host("squatter")?, rack.host("client")?);
    squatter.address("10.77.0.100/24")?;
    let desk = Desk::on(rack, &[("web01", host.mac().to_string(), None)], "")?;
    let (out, told) = udhcpc(&host, desk.rack.dir(), &[])?;
    assert!(out.ok(), "{}{}", out.stderr, desk.server.tail());
    assert_eq!(value(&told, "ip"), Some("10.77.0.101"));
    assert_eq!(desk.counter("dhcp.conflicts")?, 1);
    let declined = desk.leases()?.into_iter().find(|l| l.state == "declined");
    assert_eq!(
        declined.map(|l| l.ip.to_string()).as_deref(),
        Some("10.77.0.100")
    );
    Ok(())
}
