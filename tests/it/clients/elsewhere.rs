//! A machine without an address of its own boots in another subnet than its build was made for.

use std::net::Ipv4Addr;

use farrier::cli::demo::rack::{Rack, RackError, tools};

use super::Desk;
use super::raw::{ACK, Asker, DISCOVER, Message, REQUEST};
use crate::rack::can_run;
use crate::rack::phantom::Phantom;

const NEEDS: [&[tools::Need]; 2] = [tools::NETWORK, tools::LOADERS];
/// The server in the second subnet, and the first address of its pool.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
const IP: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 100);
const SUBNET: &str =
    "[[subnet]]\nnetwork = \"10.79.0.0/24\"\npool = [\"10.79.0.100-10.79.0.103\"]\n";

#[test]
fn its_documents_name_the_server_as_it_reaches_it() -> Result<(), RackError> {
    if !can_run("another subnet", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    rack.namespace()
        .ip(&["address", "add", "10.79.0.1/24", "dev", "br0"])?;
    let machine = Phantom::new(&rack, "client")?;
    let mut desk = Desk::on(rack, &[("web01", machine.mac().to_string(), None)], SUBNET)?;
    desk.flag("web01")?;
    let cmdline = |desk: &Desk| desk.server.must(&["render", "web01", "cmdline"]);
    assert_eq!(
        cmdline(&desk)?.trim(),
        "quiet from=10.77.0.1",
        "the first subnet"
    );

    // the profile is edited after the flag: the build goes on with what it pinned
    desk.edit("edited", "edited")?;

    let asker = Asker::everyone(&machine.host)?;
    let asks = |kind| Message::new(kind, machine.mac()).uefi().wants(IP);
    assert_eq!(asker.ask(&asks(DISCOVER)).given, IP);
    let ack = asker.ask(&asks(REQUEST).to(SERVER));
    assert_eq!((ack.kind, ack.given), (ACK, IP));
    machine.host.address("10.79.0.100/24")?;
    let url = format!("http://{SERVER}/ipxe/{}", machine.mac().dashed());
    let script = || -> Result<String, RackError> {
        Ok(machine.http(&url, None)?.must_be(200, &url)?.text())
    };
    let first = script()?;
    assert!(first.contains("quiet from=10.79.0.1"), "{first}");
    assert!(!first.contains("10.77.0.1"), "{first}");
    assert_eq!(cmdline(&desk)?.trim(), "quiet from=10.79.0.1");
    let why = desk.server.must(&["why", "web01"])?;
    assert!(
        why.contains("reaches this server at 10.77.0.1:80, and are made again for one that reaches this server at 10.79.0.1:80"),
        "{why}"
    );
    // it is once made, and kept
    assert_eq!(desk.server.log().matches("are made again").count(), 1);
    desk.server.kill();
    desk.server.up()?;
    assert!(script()?.contains("quiet from=10.79.0.1"));
    assert!(!desk.server.log().contains("are made again"));

    // the next build is made for where it was last
    desk.server.must(&["cancel", "web01", "--yes"])?;
    desk.flag("web01")?;
    assert_eq!(cmdline(&desk)?.trim(), "edited from=10.79.0.1");
    Ok(())
}
