//! What an operator looks at on a real wire: the doctor beside another server, and the log.

use farrier::cli::demo::rack::{Host, Patience, Process, Rack, RackError, tools, until};

use super::can_run;
use super::site::{PATIENT, serve_phantom};

const NEEDS: &[&[tools::Need]] = &[tools::NETWORK, tools::LOADERS, tools::NEIGHBOUR];

/// dnsmasq as it is installed: before it offers an address the first time it pings it for three
/// seconds.
fn dnsmasq(rack: &Rack, host: &Host) -> Result<Process, RackError> {
    host.address("10.77.0.2/24")?;
    let mut command = host.namespace().command("dnsmasq");
    command.args(["--no-daemon", "--conf-file=/dev/null", "--port=0"]);
    command.args(["--bind-interfaces", "--log-dhcp"]);
    command.arg(format!("--interface={}", host.interface()));
    command.arg("--dhcp-range=10.77.0.200,10.77.0.210,1h");
    command.arg(format!("--dhcp-leasefile={}/leases", rack.dir().display()));
    let log = rack.dir().join("dnsmasq.log");
    let other = Process::start("dnsmasq", &mut command, &log, false)?;
    // It says its ranges when its sockets are open.
    let ready = || Ok(other.said().contains("IP range").then_some(()));
    until("dnsmasq", Patience::seconds(20), || other.said(), ready)?;
    Ok(other)
}

#[test]
fn the_doctor_finds_a_dnsmasq_beside_it() -> Result<(), RackError> {
    if !can_run("the doctor beside dnsmasq", NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let neighbour = rack.host("neighbour")?;
    let server = serve_phantom(&rack, PATIENT)?;
    let findings = |code: i32| -> Result<Vec<serde_json::Value>, RackError> {
        let run = server.farrier(&["doctor", "-o", "json"])?;
        assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
        Ok(serde_json::from_str(&run.stdout).expect("a JSON list"))
    };
    let of = |found: &[serde_json::Value], what: &str| -> Vec<String> {
        let own = found.iter().filter(|f| f["what"] == what);
        own.map(|f| format!("{} {}", f["level"], f["message"]))
            .collect()
    };
    let alone = findings(0)?;
    let nobody = "\"ok\" \"no other server answers on `br0`\"";
    assert_eq!(of(&alone, "dhcp"), [nobody]);
    let _other = dnsmasq(&rack, &neighbour)?;
    let beside = findings(1)?;
    let named = "\"fail\" \"10.77.0.2 also hands out addresses on `br0`\"";
    assert_eq!(of(&beside, "dhcp"), [named]);
    let failed = beside.iter().filter(|f| f["level"] == "fail").count();
    assert_eq!(failed, 1, "that alone is in the way: {beside:?}");
    Ok(())
}

#[test]
fn a_log_in_a_file_has_no_colours() -> Result<(), RackError> {
    if !can_run("a log in a file", &NEEDS[..2], false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let mut server = serve_phantom(&rack, PATIENT)?;
    assert_eq!(server.stop()?, 0);
    let log = server.log();
    assert!(log.contains(" INFO "), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
    Ok(())
}
